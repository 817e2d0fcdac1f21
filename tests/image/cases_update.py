"""Updates: what is refused, what commits, what rolls back by itself, and what a power cut leaves."""


def refused(bed, check):
    raise NotImplementedError


def tampered(bed, check):
    raise NotImplementedError


def commits(bed, check):
    raise NotImplementedError


def rolls_back(bed, check):
    raise NotImplementedError


def power_cut(bed, check):
    raise NotImplementedError
