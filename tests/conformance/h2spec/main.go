// h2spec: the conformance tests of HTTP/2 (github.com/summerwind/h2spec) against one address, strictly.
//
//	h2spec [-t] HOST PORT PATH [SECTION...]      -t: TLS, whatever certificate comes
//
// Prints the tests as they run; exit status 1 when one failed.
package main

import (
	"flag"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/summerwind/h2spec"
	"github.com/summerwind/h2spec/config"
)

func main() {
	tls := flag.Bool("t", false, "TLS")
	wait := flag.Duration("o", 2*time.Second, "how long a test waits for the peer")
	flag.Parse()
	if flag.NArg() < 3 {
		log.Fatal("usage: h2spec [-t] [-o DURATION] HOST PORT PATH [SECTION...]")
	}
	port, err := strconv.Atoi(flag.Arg(1))
	if err != nil {
		log.Fatal(err)
	}
	ok, err := h2spec.Run(&config.Config{Host: flag.Arg(0), Port: port, Path: flag.Arg(2), Timeout: *wait, MaxHeaderLen: 4000,
		Strict: true, TLS: *tls, Insecure: true, Sections: flag.Args()[3:]})
	if err != nil {
		log.Fatal(err)
	}
	if !ok {
		os.Exit(1)
	}
}
