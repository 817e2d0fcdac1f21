#!/usr/bin/env python3
"""The checks can fail: each rule is shown a sample that breaks it, and one that does not."""
import os
import sys
import tempfile

import headers
import includes
import requirements
import rules
import units

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import run  # noqa: E402  (tests/run.py)

BASE = '#include "lib/base.h"\n'
# (name, path, text, words the complaint must hold; None = must be clean)
INCLUDE_CASES = [
    ("room includes its own core", "l4lb/io/port.c", BASE + '#include "l4lb/core/flow.h"\n', None),
    ("lib/io from room/io", "l4lb/io/port.c", BASE + '#include "lib/io/log.h"\n', None),
    ("lib/io from room/core", "l4lb/core/flow.c", BASE + '#include "lib/io/log.h"\n', "core must not include io"),
    ("room includes a room", "l7gw/io/conn.c", BASE + '#include "l4lb/core/flow.h"\n', "rooms never include each other"),
    ("agent from ctl is listed", "ctl/main.c", BASE + '#include "agent/core/decode.h"\n', None),
    ("agent's push from ctl is not", "ctl/main.c", BASE + '#include "agent/io/push.h"\n', "rooms never include each other"),
    ("core includes io of its room", "l7gw/core/h1.c", BASE + '#include "l7gw/io/conn.h"\n', "core must not include io"),
    ("lib includes a room", "lib/io/loop.c", BASE + '#include "l4lb/core/flow.h"\n', "rooms never include each other"),
    ("lib/core includes lib/io", "lib/core/arena.c", BASE + '#include "lib/io/log.h"\n', "core must not include io"),
    ("product includes a test", "l7gw/io/conn.c", BASE + '#include "tests/unit/fake.h"\n', "includes a test"),
    ("relative include", "l7gw/io/conn.c", BASE + '#include "conn.h"\n', "written from the root"),
    ("parent include", "l7gw/io/conn.c", BASE + '#include "../core/h1.h"\n', "written from the root"),
    ("unknown room", "l7gw/io/conn.c", BASE + '#include "shared/x.h"\n', "unknown room"),
    ("a .c included", "l7gw/io/conn.c", BASE + '#include "l7gw/io/tls.c"\n', "includes a .c file"),
    ("base.h is not first", "l7gw/io/conn.c", '#include <stdio.h>\n' + BASE, "first include"),
    ("own header first", "lib/core/arena.c", '#include "lib/core/arena.h"\n', None),
    ("another's header first", "lib/core/arena.c", '#include "lib/core/buf.h"\n', "first include"),
    ("a flat file of ctl", "ctl/table.c", BASE + '#include "ctl/table.h"\n#include "lib/io/admin.h"\n', None),
    ("a flat file of another room", "l4lb/table.c", BASE + '#include "lib/core/buf.h"\n', "belongs to no layer"),
    ("socket header in core", "l7gw/core/h1.c", BASE + "#include <sys/socket.h>\n", "core is pure"),
    ("clock header in core", "l4lb/core/flow.c", BASE + "#include <time.h>\n", "core is pure"),
    ("DPDK in core", "l4lb/core/flow.c", BASE + "#include <rte_mbuf.h>\n", "core is pure"),
    ("OpenSSL in core", "l7gw/core/h1.c", BASE + "#include <openssl/ssl.h>\n", "core is pure"),
    ("OpenSSL digest in lib/core/hash.c is listed", "lib/core/hash.c", BASE + "#include <openssl/evp.h>\n", None),
    ("nghttp2 in core/h2 is listed", "l7gw/core/h2.c", BASE + "#include <nghttp2/nghttp2.h>\n", None),
    ("nghttp2 in core/h1 is not", "l7gw/core/h1.c", BASE + "#include <nghttp2/nghttp2.h>\n", "core is pure"),
    ("printf in core", "l7gw/core/h1.c", BASE + 'void f(void)\n{\n        printf("x");\n}\n', "calls printf()"),
    ("time() in core", "l4lb/core/flow.c", BASE + "long f(void)\n{\n        return time(NULL);\n}\n", "calls time()"),
    ("snprintf in core is fine", "l7gw/core/h1.c", BASE + 'void f(void)\n{\n        snprintf(b, 4, "x");\n}\n', None),
    ("printf in a comment is fine", "l7gw/core/h1.c", BASE + "/* printf(x) */\n", None),
    ("member read() is fine", "l7gw/core/h1.c", BASE + "void f(void)\n{\n        s->read(s);\n}\n", None),
]
TOP = "/* l4lb/core/%s - sample. */\n"
RULE_CASES = [
    ("a good file", "l4lb/core/flow.c", TOP % "flow.c" + BASE, None),
    ("util", "l4lb/core/util.c", TOP % "util.c" + BASE, "one noun"),
    ("common", "l4lb/core/common.h", TOP % "common.h" + "#pragma once\n", "one noun"),
    ("flow_misc", "l4lb/core/flow_misc.c", TOP % "flow_misc.c" + BASE, "one noun"),
    ("flow2", "l4lb/core/flow2.c", TOP % "flow2.c" + BASE, "one noun"),
    ("h2 is HTTP/2", "l7gw/core/h2.c", "/* l7gw/core/h2.c - sample. */\n", None),
    ("tab", "l4lb/core/flow.c", TOP % "flow.c" + "\tint x;\n", "tab"),
    ("trailing blank", "l4lb/core/flow.c", TOP % "flow.c" + "int x; \n", "trailing blank"),
    ("no newline at the end", "l4lb/core/flow.c", TOP % "flow.c" + "int x;", "no newline"),
    ("carriage return", "l4lb/core/flow.c", TOP % "flow.c" + "int x;\r\n", "carriage return"),
    ("something left behind", "l4lb/core/flow.c", TOP % "flow.c" + "/* TO" + "DO later */\n", "left behind"),
    ("no guard", "l4lb/core/flow.h", TOP % "flow.h", "#pragma once"),
    ("no top comment", "l4lb/core/flow.c", BASE, "no comment on top"),
    ("top comment of another file", "l4lb/core/flow.c", "/* l4lb/core/tables.c - x */\n", "starts with the path"),
    ("too long", "l4lb/core/flow.c", TOP % "flow.c" + "int x;\n" * 801, "split it"),
]
# (name, output, exit status, passed, failed, skipped) of tests/run.py's counting
COUNT_CASES = [
    ("cmocka", "[==========] t: Running 3 test(s).\n[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n[  FAILED  ] b\n[  SKIPPED ] c\n"
     "[==========] t: 3 test(s) run.\n[  PASSED  ] 1 test(s).\n[  FAILED  ] t: 1 test(s), listed below:\n[  FAILED  ] b\n", 1, 1, 1, 1),
    ("cmocka, crash after one", "[ RUN      ] a\n[       OK ] a\n[ RUN      ] b\n", -11, 1, 1, 0),
    ("cmocka, leak report at the end", "[ RUN      ] a\n[       OK ] a\n", 1, 1, 1, 0),
    ("TAP", "ok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP no rights\n", 1, 1, 1, 1),
    ("corpus", "replayed 7 files, 900 runs\n", 0, 7, 0, 0),
    ("corpus, crashed", "==1==ERROR: AddressSanitizer\n", 1, 0, 1, 0),
    ("counted by itself", "row x\n12 passed, 2 failed\n", 1, 12, 2, 0),
    ("silent success", "", 0, 1, 0, 0),
    ("silent failure", "", 3, 0, 1, 0),
]


def judge(name, complaints, want):
    if want is None:
        return None if not complaints else "%s: complains without reason: %s" % (name, complaints)
    return None if any(want in c for c in complaints) else "%s: not noticed; complaints: %s" % (name, complaints)


def header_cases(cc):
    cases = [("a header that stands alone", "#pragma once\n#include <stdint.h>\nstruct a { uint8_t b; };\n", None),
             ("a header that needs another first", "#pragma once\nstruct a { uint8_t b; };\n", "uint8_t"),
             ("a header that does not survive twice", "struct a { int b; };\n", "redefinition")]
    for name, text, want in cases:
        with tempfile.TemporaryDirectory() as d:
            with open(os.path.join(d, "x.h"), "w") as f:
                f.write(text)
            err = headers.compile_one(d, cc, ["-I", d], "x.h")
            yield judge(name, [err] if err else [], want)


GOOD_UNIT = "[Service]\nExecStart=/bin/true\nUser=daemon\nNoNewPrivileges=yes\nCapabilityBoundingSet=\n"
# (name, unit text, SCORES, words the complaint must hold; None = must be clean)
UNIT_CASES = [
    ("a unit within its score", GOOD_UNIT, {"x.service": 9.0}, None),
    ("a capability more", GOOD_UNIT.replace("Set=", "Set=CAP_SYS_ADMIN CAP_NET_ADMIN"), {"x.service": 6.5}, "exposure"),
    ("a unit without a row", GOOD_UNIT, {}, "has no row"),
    ("a row without a unit", GOOD_UNIT, {"x.service": 9.0, "y.service": 1.0}, "no such unit"),
    ("a setting misspelt", GOOD_UNIT + "ProtectSystm=strict\n", {"x.service": 9.0}, "ProtectSystm"),
    ("one that runs for ever without a watchdog", GOOD_UNIT + "Restart=always\n", {"x.service": 9.0}, "without a watchdog"),
    ("one with it", GOOD_UNIT + "Type=notify\nRestart=always\nWatchdogSec=30s\n", {"x.service": 9.0}, None),
]


ROWS = 'static const struct row rows[] = { { "%s: a row" } };\n'
# (name, titles, {path: text}, the table is stale, words the complaint must hold; None = must be clean)
ALL = "\n".join("%d | rule |" % n for n in range(1, 61))
ALL_TESTS = ROWS % ", ".join(str(n) for n in range(1, 60)) + "/* requirement 60: x */\nstatic void test_x(void **state)\n"
REQUIREMENT_CASES = [
    ("all have a test", ALL, ALL_TESTS, False, None),
    ("one has none", ALL, ALL_TESTS.replace("requirement 60", "require"), False, "requirement 60 has no test"),
    ("a comment that belongs to no test", ALL, ALL_TESTS.replace("static void test_x", "static void x"), False, "requirement 60 has no test"),
    ("a number in the middle of a name", ALL, ALL_TESTS.replace('"1, ', '"see 1, '), False, "requirement 1 has no test"),
    ("one has no title", ALL.replace("7 | rule |\n", "", 1), ALL_TESTS, False, "requirement 7 has no title"),
    ("one too many", ALL, ALL_TESTS + ROWS % 61, False, "61 does not exist"),
    ("a stale table", ALL, ALL_TESTS, True, "stale"),
]


def requirement_cases():
    for name, text, test, stale, want in REQUIREMENT_CASES:
        rules_, tests = requirements.titles(text), {}
        for n, case in requirements.found_in("x_test.c", test):
            tests.setdefault(n, {}).setdefault("x_test.c", []).append(case)
        yield judge(name, list(requirements.check(rules_, tests, "" if stale else requirements.table(rules_, tests))), want)


def unit_cases():
    for name, text, scores, want in UNIT_CASES:
        with tempfile.TemporaryDirectory() as d:
            with open(os.path.join(d, "x.service"), "w") as f:
                f.write(text)
            yield judge(name, units.check_scores(d, scores, {}) + units.check_syntax(d) + units.check_watchdogs(d, ()), want)


def main(cc):
    results = [judge(n, [w for _, w in includes.check_file(p, t)], want) for n, p, t, want in INCLUDE_CASES]
    results += [judge(n, [w for _, w in list(rules.check_name(p)) + list(rules.check_text(p, t))], want) for n, p, t, want in RULE_CASES]
    results += list(header_cases(cc)) + list(unit_cases()) + list(requirement_cases())
    for name, output, status, *want in COUNT_CASES:
        got = [n if isinstance(n, int) else len(n) for n in run.count(output, status)]
        results.append(None if got == want else "counting %s: %s, want %s" % (name, got, want))
    bad = [r for r in results if r]
    print("\n".join(bad + ["%d passed, %d failed" % (len(results) - len(bad), len(bad))]))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
