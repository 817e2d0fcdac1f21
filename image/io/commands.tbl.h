/* image/io/commands.tbl.h - subcommands of gatehouse-system: one line each, the function in a file of its own.
 * C(name, function, arguments, what it does)
 * Each prints its own --help and returns the exit status: 0 good, 1 failed, 2 used wrongly. */
#pragma once
#define COMMANDS(C)                                                                                                    \
        C("check", command_check, "FILE", "validate a gatehouse.cfg, anywhere; prints file:line and what is wrong") \
        C("configure", command_configure, "", "find the configuration, check it, render what depends on it") \
        C("ports", command_ports, "", "choose how l4lb drives each data NIC, take the NICs, make the links to the shards") \
        C("health", command_health, "[SECONDS]", "the gate of a boot: everything serves, or the reason why not") \
        C("syslog", command_syslog, "", "send what journald forwards to a log server") \
        C("advertise", command_advertise, "[FILE]", "have BIRD announce VIPs while l4lb has healthy backends") \
        C("auto-update", command_auto_update, "", "look for an update, and take it when its time has come") \
        C("update", command_update, "SOURCE", "install an update into the idle slot") \
        C("rollback", command_rollback, "[--reboot]", "boot the other slot next") \
        C("reset", command_reset, "--yes", "factory reset: wipe the data partition on the next boot") \
        C("wipe", command_wipe, "", "on boot: do what a factory reset asked for") \
        C("fault", command_fault, "", "test images: break what gatehouse.fault= names") \
        C("serve", command_serve, "", "answer gatectl system; take back what is applied and not confirmed") \
        C("metadata", command_metadata, "[URL]", "ask the cloud's metadata service for a configuration") \
        C("console", command_console, "TTY", "status page on a terminal; the form when there is no configuration")
