// Program cluster runs a Kubernetes cluster on this machine with no container engine: the upstream etcd, kube-apiserver and
// kube-controller-manager as child processes, and nodes whose pods are plain processes in network namespaces of their own.
//
// It runs in the foreground: `cluster up --dir DIR` prints `event=ready`, and ends on SIGINT or SIGTERM, taking everything
// with it.  Pods have no files outside DIR, and no named namespace or mount: what the kernel holds for them goes with their
// processes.  Needs root.
package main

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"k8s.io/klog/v2"
)

//go:embed agent-rbac.yaml
var agentRBAC []byte

// logf writes one event to stderr, as the daemons do.
func logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%s %s\n", time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), fmt.Sprintf(format, args...))
}

type options struct {
	dir, binDir, crds, address string
	apply                      stringList
	kubelet                    kubeletOptions
}

type stringList []string

func (l *stringList) String() string     { return strings.Join(*l, ",") }
func (l *stringList) Set(s string) error { *l = append(*l, s); return nil }

const usage = `usage: cluster up --dir DIR --bin DIR [option...]

  --dir DIR         everything of this cluster: kubeconfigs, keys, data, logs; must be empty or not exist
  --bin DIR         etcd, kube-apiserver, kube-controller-manager, podinit, and images/NAME
  --crds PATH       definitions to install: a file or a directory
  --apply PATH      more objects to install (again and again)
  --address ADDR    where API server and kubelet listen [127.0.0.1]
  --image NAME=PROG pods whose image is called NAME (the last part, without tag) run PROG; default: BIN/images/NAME
  --nodes N         how many nodes [1]; 0: only the control plane
  --bridge [NS:]BR  where pods are plugged in: a bridge that is there, in network namespace NS; default: one of our own
  --own-bridge NAME what our own is called [gh-pods]
  --pods4 A-B/LEN   pod addresses and their prefix length [10.42.0.10-10.42.3.250/22]
  --pods6 A-B/LEN   the same for IPv6 [fd00:42::10-fd00:42::ffff/64]; "none": pods have no IPv6

In DIR, when ready: admin.kubeconfig (cluster-admin), agent.kubeconfig (what the agent may do), log/NAME.log.
`

func parse(args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("cluster", flag.ContinueOnError)
	f.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	f.StringVar(&o.dir, "dir", "", "")
	f.StringVar(&o.binDir, "bin", "", "")
	f.StringVar(&o.crds, "crds", "", "")
	f.Var(&o.apply, "apply", "")
	f.StringVar(&o.address, "address", "127.0.0.1", "")
	f.Var(&o.kubelet.images, "image", "")
	f.IntVar(&o.kubelet.nodes, "nodes", 1, "")
	f.StringVar(&o.kubelet.bridge, "bridge", "", "")
	f.StringVar(&o.kubelet.ownBridge, "own-bridge", "gh-pods", "")
	f.StringVar(&o.kubelet.pods4, "pods4", "10.42.0.10-10.42.3.250/22", "")
	f.StringVar(&o.kubelet.pods6, "pods6", "fd00:42::10-fd00:42::ffff/64", "")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if o.dir == "" || o.binDir == "" || f.NArg() != 0 {
		f.Usage()
		return nil, fmt.Errorf("--dir and --bin are needed")
	}
	var err error
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return nil, err
	}
	o.binDir, err = filepath.Abs(o.binDir)
	return o, err
}

// cluster is the running whole.
type cluster struct {
	*controlPlane
	kubelet *kubelet
}

func start(ctx context.Context, o *options) (*cluster, error) {
	if entries, err := os.ReadDir(o.dir); err == nil && len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty", o.dir)
	}
	if err := os.MkdirAll(o.dir, 0o700); err != nil {
		return nil, err
	}
	began := time.Now()
	plane, err := startControlPlane(ctx, o.dir, o.binDir, o.address)
	if err != nil {
		return nil, err
	}
	c := &cluster{controlPlane: plane}
	logf("event=api_server_ready url=%s after=%.1fs", c.url(), time.Since(began).Seconds())
	if err = c.furnish(ctx, o); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// furnish installs definitions, the agent's rights and the nodes.
func (c *cluster) furnish(ctx context.Context, o *options) error {
	a, err := newApplier(c.admin)
	if err != nil {
		return err
	}
	objects, err := decodeObjects(agentRBAC)
	if err != nil {
		return err
	}
	for _, obj := range objects {
		if err = a.apply(ctx, obj); err != nil {
			return err
		}
	}
	if _, err = c.writeKubeconfig("agent", "gatehouse-agent"); err != nil {
		return err
	}
	for _, path := range append([]string{o.crds}, o.apply...) {
		if path == "" {
			continue
		}
		applied, err := a.applyPath(ctx, path)
		if err != nil {
			return err
		}
		if err = a.waitEstablished(ctx, applied); err != nil {
			return err
		}
	}
	if o.kubelet.nodes > 0 {
		c.kubelet, err = startKubelet(ctx, c.controlPlane, &o.kubelet)
	}
	return err
}

// stop leaves no process, link or namespace; the directory is its maker's.
func (c *cluster) stop() {
	if c.kubelet != nil {
		c.kubelet.stop()
	}
	c.controlPlane.stop()
}

func up(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	interrupted := make(chan os.Signal, 1)
	go func() {
		s := <-signals
		interrupted <- s
		cancel()
	}()
	began := time.Now()
	c, err := start(ctx, o)
	if err != nil {
		return err
	}
	logf("event=ready after=%.1fs kubeconfig=%s agent_kubeconfig=%s", time.Since(began).Seconds(),
		filepath.Join(o.dir, "admin.kubeconfig"), filepath.Join(o.dir, "agent.kubeconfig"))
	s := <-interrupted
	logf("event=stopping signal=%q", s)
	c.stop()
	logf("event=stopped")
	return nil
}

func main() {
	klog.LogToStderr(false) // client-go's own words; ours say what matters
	klog.SetOutput(io.Discard)
	if len(os.Args) < 2 || os.Args[1] != "up" {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	if err := up(os.Args[2:]); err != nil {
		logf("event=failed error=%q", err)
		os.Exit(1)
	}
}
