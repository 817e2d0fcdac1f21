"""sysusers.d(5) applied at build time: /etc is read-only, so users have to be in it from the start.

Knows what our own files use: `u NAME UID[:GID] "GECOS" [HOME] [SHELL]`, `g NAME GID`, `m USER GROUP`.  Ids are written out in
those files (from 900 on), never taken from a pool, so that files on the data partition keep their owner over updates."""
import shlex

from .step import BuildError


class Users:
    def __init__(self, passwd, group, shadow, gshadow, epoch_days):
        self.files = {"passwd": passwd.splitlines(), "group": group.splitlines(), "shadow": shadow.splitlines(), "gshadow": gshadow.splitlines()}
        self.days = epoch_days
        # whoever had a password or an old date: nobody logs in by password, and the bytes do not tell when the tree was made
        self.files["shadow"] = [":".join([line.split(":")[0], "!*", str(epoch_days), "", "", "", "", "", ""]) for line in self.files["shadow"]]

    def names(self, which, column=0):
        return {line.split(":")[column] for line in self.files[which]}

    def group(self, name, gid, where):
        if name in self.names("group"):
            return
        if gid in self.names("group", 2):
            raise BuildError("%s: group id %s is taken" % (where, gid))
        self.files["group"].append("%s:x:%s:" % (name, gid))
        self.files["gshadow"].append("%s:!*::" % name)

    def user(self, name, ids, gecos, home, shell, where):
        if name in self.names("passwd"):
            return
        uid, _, gid = ids.partition(":")
        if uid in self.names("passwd", 2):
            raise BuildError("%s: user id %s is taken" % (where, uid))
        if gid and not gid.isdigit():  # the name of a group that is there
            gid = next((line.split(":")[2] for line in self.files["group"] if line.split(":")[0] == gid), None)
            if gid is None:
                raise BuildError("%s: no group %s" % (where, ids))
        elif not gid:
            gid = uid
            self.group(name, gid, where)
        self.files["passwd"].append("%s:x:%s:%s:%s:%s:%s" % (name, uid, gid, gecos, home, shell))
        self.files["shadow"].append("%s:!*:%d::::::" % (name, self.days))

    def member(self, user, name, where):
        for which in ("group", "gshadow"):
            lines = self.files[which]
            at = next((i for i, line in enumerate(lines) if line.split(":")[0] == name), None)
            if at is None:
                raise BuildError("%s: no group %s" % (where, name))
            fields = lines[at].split(":")
            members = [m for m in fields[3].split(",") if m]
            if user not in members:
                fields[3] = ",".join(members + [user])
            lines[at] = ":".join(fields)

    def apply(self, text, where):
        rows = []
        for n, line in enumerate(text.splitlines(), 1):
            words = shlex.split(line, comments=True)
            if words:
                rows.append(("%s:%d" % (where, n), words + ["-"] * (6 - len(words))))
        for kind in "gum":  # groups first, then users, then memberships, whatever their order
            for at, (k, name, ids, gecos, home, shell) in rows:
                if k not in "gum" or (k != "m" and not ids.split(":")[0].isdigit()):
                    raise BuildError("%s: only u, g (with numbers) and m are known here" % at)
                if k == kind == "g":
                    self.group(name, ids, at)
                elif k == kind == "u":
                    self.user(name, ids, "" if gecos == "-" else gecos, "/" if home == "-" else home, "/usr/sbin/nologin" if shell == "-" else shell, at)
                elif k == kind == "m":
                    self.member(name, ids, at)

    def text(self, which):
        return "\n".join(self.files[which]) + "\n"
