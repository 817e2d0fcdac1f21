package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// listening lists what is open to receive in the pod's network namespace, as "tcp:80" and "udp:53", sorted.
func (w *pod) listening() []string {
	var out []string
	_ = w.k.net.inside(w.nic.ns, func() error {
		for _, proto := range []string{"tcp", "tcp6", "udp", "udp6"} {
			f, err := os.Open("/proc/thread-self/net/" + proto)
			if err != nil {
				continue // no IPv6 here
			}
			out = append(out, openPorts(f, strings.TrimSuffix(proto, "6"))...)
			f.Close()
		}
		return nil
	})
	slices.Sort(out)
	return slices.Compact(out)
}

// openPorts reads the table of proc_net(5): LISTEN is 0A for TCP; a UDP socket without a peer is 07.
func openPorts(f *os.File, proto string) []string {
	want := map[string]string{"tcp": "0A", "udp": "07"}[proto]
	var out []string
	for s := bufio.NewScanner(f); s.Scan(); {
		v := strings.Fields(s.Text())
		if len(v) < 4 || v[3] != want {
			continue
		}
		_, hex, _ := strings.Cut(v[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil && port != 0 {
			out = append(out, fmt.Sprintf("%s:%d", proto, port))
		}
	}
	return out
}
