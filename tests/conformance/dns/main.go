// Program dns stands in for CoreDNS in the conformance suite: a name server on port 53, UDP and TCP, that answers A, AAAA and
// TXT questions about any name with the address the question came from (what CoreDNS calls whoami).  -conf is read only to
// fail when the file is missing, as CoreDNS would.
package main

import (
	"flag"
	"log"
	"net/netip"
	"os"

	"github.com/miekg/dns"
)

func answer(w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	m.SetReply(q)
	m.Authoritative = true
	from, err := netip.ParseAddrPort(w.RemoteAddr().String())
	if err == nil && len(q.Question) == 1 {
		name := q.Question[0].Name
		head := dns.RR_Header{Name: name, Class: dns.ClassINET, Rrtype: q.Question[0].Qtype, Ttl: 0}
		addr := from.Addr().Unmap()
		switch {
		case head.Rrtype == dns.TypeA && addr.Is4():
			m.Answer = append(m.Answer, &dns.A{Hdr: head, A: addr.AsSlice()})
		case head.Rrtype == dns.TypeAAAA && addr.Is6():
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: head, AAAA: addr.AsSlice()})
		case head.Rrtype == dns.TypeTXT:
			m.Answer = append(m.Answer, &dns.TXT{Hdr: head, Txt: []string{from.String()}})
		}
		log.Printf("question=%q type=%s from=%s answers=%d", name, dns.TypeToString[head.Rrtype], from, len(m.Answer))
	}
	if err := w.WriteMsg(m); err != nil {
		log.Printf("reply: %v", err)
	}
}

func main() {
	conf := flag.String("conf", "", "a file that must be there")
	addr := flag.String("listen", ":53", "address and port")
	flag.Parse()
	if *conf != "" {
		if _, err := os.ReadFile(*conf); err != nil {
			log.Fatal(err)
		}
	}
	failed := make(chan error)
	for _, network := range []string{"udp", "tcp"} {
		s := &dns.Server{Addr: *addr, Net: network, Handler: dns.HandlerFunc(answer)}
		go func() { failed <- s.ListenAndServe() }()
	}
	log.Fatal(<-failed)
}
