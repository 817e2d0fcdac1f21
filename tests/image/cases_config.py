"""Where the configuration comes from, how it is changed on a running system, and how it is forgotten."""


def apply(bed, check):
    raise NotImplementedError


def sources(bed, check):
    raise NotImplementedError


def console_form(bed, check):
    raise NotImplementedError


def factory_reset(bed, check):
    raise NotImplementedError
