/* tests/fuzz/image/syslog_line_fuzz.c - any datagram becomes one whole line. */
#include "lib/base.h"
#include "image/core/syslog_line.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
        char line[SYSLOG_LINE_MAX + 1];
        size_t len = syslog_line(SPAN(p, n), "edge", "2026-11-23T06:31:43.000001Z", line);
        BUG_ON(len > SYSLOG_LINE_MAX || strlen(line) != len || line[0] != '<');
        for (size_t i = 0; i < len; i++)
                BUG_ON((unsigned char)line[i] < ' ' || line[i] == 0x7f);
        return 0;
}
