// Package suite runs the official Gateway API conformance suite, as it is, with its own flags and two more.
package suite

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
	"sigs.k8s.io/gateway-api/conformance/tests"
	"sigs.k8s.io/gateway-api/conformance/utils/suite"
	"sigs.k8s.io/gateway-api/pkg/features"
	"sigs.k8s.io/yaml"
)

var (
	only    = flag.String("only", "", "comma-separated names: the suite consists of these tests, whatever features they belong to")
	claimed = flag.String("claimed", "", "with -only: comma-separated features that the GatewayClass claims")
	asJSON  = flag.String("report-json", "", "the report once more, for programs")
	list    = flag.Bool("list", false, "print the names of all tests and what each needs, and end")
)

func TestConformance(t *testing.T) {
	if *list {
		for _, c := range tests.ConformanceTests {
			fmt.Println(c.ShortName, c.Features)
		}
		return
	}
	if *only != "" {
		names := strings.Split(*only, ",")
		tests.ConformanceTests = slices.DeleteFunc(tests.ConformanceTests, func(c suite.ConformanceTest) bool {
			return !slices.Contains(names, c.ShortName)
		})
		claims := strings.Split(*claimed, ",")
		for i, c := range tests.ConformanceTests {
			tests.ConformanceTests[i].Features = slices.DeleteFunc(slices.Clone(c.Features), func(f features.FeatureName) bool {
				return !slices.Contains(claims, string(f))
			})
		}
	}
	for i := range tests.ConformanceTests {
		// The suite takes what t.Run returns for a test's result.  For a parallel test that is true before the test has begun,
		// so its failure would stand in the report as passed.  One after the other, the report is right.
		tests.ConformanceTests[i].Parallel = false
	}
	if *asJSON != "" {
		t.Cleanup(func() { copyReport(t) }) // after the one that writes it: the last registered runs first
	}
	conformance.RunConformance(t)
}

func copyReport(t *testing.T) {
	text, err := os.ReadFile(flag.Lookup("report-output").Value.String())
	if err == nil {
		text, err = yaml.YAMLToJSON(text)
	}
	if err == nil {
		err = os.WriteFile(*asJSON, text, 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}
