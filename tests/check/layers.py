"""Who may include what: the walls between rooms as data.  includes.py walks the tree and applies it.

    lib/base <- lib/core <- lib/io           room/core <- room/io <- room/main.c
                   ^           ^                 |            |
                   +-----------+---- lib/core ---+-- lib/io --+      rooms never include each other
"""
ROOMS = ("l4lb", "l7gw", "agent", "ctl", "image")

# Exceptions: (file prefix, included prefix or header) -> reason.  An exception without a reason is a bug.
EXCEPTIONS = {
    ("ctl/", "agent/core/"): "`gatectl check` validates manifests with the agent's own pure decoder and translator",
    ("ctl/", "agent/io/yaml"): "`gatectl check` reads the same YAML as the agent",
    ("ctl/", "agent/io/directory"): "`gatectl check` reads a directory of manifests as the agent does",
    ("lib/core/hash.c", "openssl/evp.h"): "SHA-256 over memory: no I/O",
    ("lib/core/hash.c", "openssl/sha.h"): "SHA-256 over memory: no I/O",
    ("agent/core/", "openssl/evp.h"): "digest of an object: no I/O",
    ("l7gw/core/h2", "nghttp2/nghttp2.h"): "an HTTP/2 session over bytes: nghttp2 does no I/O",
    ("lib/core/metrics.h", "stdatomic.h"): "single-writer counters",
}

# In core/: effects, clocks, sockets, output and the libraries that bring them.  Patterns of <header>, matched from the start.
CORE_BANNED_HEADERS = (
    r"sys/", r"net/", r"netinet/", r"netdb\.h", r"arpa/", r"linux/", r"time\.h", r"unistd\.h", r"fcntl\.h", r"poll\.h", r"signal\.h",
    r"pthread\.h", r"threads\.h", r"dirent\.h", r"ifaddrs\.h", r"spawn\.h", r"syslog\.h", r"sched\.h", r"semaphore\.h",
    r"openssl/", r"nghttp2/", r"rte_", r"curl/", r"yaml\.h", r"jansson\.h", r"libconfig\.h",
)
# Calls that need no header of the list above (base.h brings stdio and stdlib).
CORE_BANNED_CALLS = (
    "printf", "fprintf", "vprintf", "vfprintf", "puts", "fputs", "putchar", "perror", "fopen", "fdopen", "fread", "fwrite", "fclose",
    "getenv", "secure_getenv", "exit", "_exit", "time", "clock_gettime", "gettimeofday", "rand", "random", "srand", "getrandom",
    "socket", "open", "close", "read", "write",
)
CALL_EXCEPTIONS = {
    ("lib/core/base.c", "fprintf"): "bug_abort: the last words before abort()",
}


def zone(path):
    """(room, layer) of a source path; layer: base, core, io, main, pb, tests."""
    parts = path.split("/")
    if parts[0] == "lib":
        if path in ("lib/base.h", "lib/banned.h"):
            return "lib", "base"
        if path.endswith(".pb-c.h"):
            return "lib", "pb"
        return "lib", parts[1] if len(parts) > 2 else "?"
    if parts[0] in ROOMS:
        if len(parts) == 2:
            if parts[1] == "main.c":
                return parts[0], "main"
            return parts[0], "io" if parts[0] == "ctl" else "?"  # ctl is small: flat, and all effects
        return parts[0], parts[1]
    return parts[0], "tests" if parts[0] == "tests" else "?"


_BELOW = {"base": (), "pb": (), "core": ("base", "pb", "core"), "io": ("base", "pb", "core", "io"),
          "main": ("base", "pb", "core", "io", "main")}


def edge_error(src, dst):
    """None when src may include dst, else why not."""
    for (who, what), _reason in EXCEPTIONS.items():
        if src.startswith(who) and dst.startswith(what):
            return None
    room, layer = zone(src)
    to_room, to_layer = zone(dst)
    if to_room not in ROOMS + ("lib", "tests"):
        return "unknown room; includes are written from the root"
    if to_layer == "?":
        return "%s belongs to no layer (core, io, main.c)" % dst
    if layer == "tests":
        return None if room == "tests" else "?"
    if layer == "?":
        return "%s belongs to no layer (core, io, main.c)" % src
    if to_layer == "tests":
        return "product code includes a test"
    if to_layer == "main":
        return "nobody includes main"
    if room != to_room and to_room != "lib":
        return "rooms never include each other: %s -> %s" % (room, to_room)
    if to_layer not in _BELOW.get(layer, ()) and not (room == "lib" and layer == "base" and to_layer == "base"):
        return "%s must not include %s" % (layer, to_layer)
    return None
