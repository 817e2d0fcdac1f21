package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/remotecommand"
)

const testBridge = "gh-pods-test"

var (
	binDir    = flag.String("bin", "", "etcd, kube-apiserver and kube-controller-manager")
	crds      = flag.String("crds", "", "definitions to install")
	echoBasic = flag.String("echo", "", "the program that stands for echo-basic")
	running   *cluster // one for all tests
	ctx       = context.Background()
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testAll(m))
}

func testAll(m *testing.M) int {
	base, err := os.MkdirTemp("", "gh-cluster-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(base)
	o, err := parse([]string{"--dir", filepath.Join(base, "c"), "--bin", *binDir, "--crds", *crds, "--image", "echo-basic=" + *echoBasic, "--nodes", "2",
		"--own-bridge", testBridge, "--pods4", "10.43.0.10-10.43.0.250/24", "--pods6", "fd00:43::10-fd00:43::ffff/64"})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	began := time.Now()
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if running, err = start(limit, o); err != nil {
		fmt.Fprintln(os.Stderr, "start:", err)
		return 1
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		running.stop()
		os.RemoveAll(base)
		os.Exit(1)
	}()
	up := time.Since(began)
	fmt.Printf("cluster up in %.1f s\n", up.Seconds())
	status := m.Run()
	running.stop()
	if left := leftovers(); left != "" {
		fmt.Println("--- FAIL: TestNothingLeft (0.00s)\n    " + left)
		return 1
	}
	fmt.Println("--- PASS: TestNothingLeft (0.00s)")
	if up > 30*time.Second {
		fmt.Printf("--- FAIL: TestUpInTime (%.2fs)\n    more than 30 s\n", up.Seconds())
		return 1
	}
	fmt.Printf("--- PASS: TestUpInTime (%.2fs)\n", up.Seconds())
	return status
}

// leftovers looks for what a stopped cluster must not leave: children of this process, links, mounts.
func leftovers() string {
	if out, _ := exec.Command("ps", "--no-headers", "-o", "pid,args", "--ppid", fmt.Sprint(os.Getpid())).Output(); len(out) > 0 {
		for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
			if !strings.Contains(line, "ps --no-headers") {
				return "process " + line
			}
		}
	}
	links, err := netlink.LinkList()
	if err != nil {
		return err.Error()
	}
	for _, l := range links {
		if n := l.Attrs().Name; n == testBridge || strings.HasPrefix(n, fmt.Sprintf("gp%d-", os.Getpid())) {
			return "link " + n
		}
	}
	if mounts, _ := os.ReadFile("/proc/self/mounts"); bytes.Contains(mounts, []byte("gh-cluster-test-")) {
		return "a mount under our directory"
	}
	return ""
}

// eventually polls until f returns "", and fails with its last answer.
func eventually(t *testing.T, limit time.Duration, f func() string) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		why := f()
		if why == "" {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			t.Fatalf("not within %s: %s", limit, why)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func newNamespace(t *testing.T) string {
	t.Helper()
	ns, err := running.client.CoreV1().Namespaces().Create(ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = running.client.CoreV1().Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{}) })
	return ns.Name
}

func errorOrEmpty(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

func fieldEnv(name, path string) v1.EnvVar {
	return v1.EnvVar{Name: name, ValueFrom: &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: path}}}
}

// deploy makes a Deployment of echo-basic and its Service, both called name.
func deploy(t *testing.T, ns, name string, replicas int32, edit func(*v1.PodSpec)) {
	t.Helper()
	labels := map[string]string{"app": name}
	spec := v1.PodSpec{Containers: []v1.Container{{Name: "echo", Image: "registry.example/gateway-api/echo-basic:v9@sha256:00",
		Env: []v1.EnvVar{fieldEnv("POD_NAME", "metadata.name"), fieldEnv("NAMESPACE", "metadata.namespace")}}}}
	if edit != nil {
		edit(&spec)
	}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.DeploymentSpec{Replicas: &replicas,
		Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: spec}}}
	if _, err := running.client.AppsV1().Deployments(ns).Create(ctx, d, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	s := &v1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.ServiceSpec{Selector: labels,
		Ports: []v1.ServicePort{{Port: 8080, TargetPort: intstr.FromInt32(3000)}}}}
	if _, err := running.client.CoreV1().Services(ns).Create(ctx, s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func pods(t *testing.T, ns string) []v1.Pod {
	t.Helper()
	l, err := running.client.CoreV1().Pods(ns).List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l.Items
}

func waitAvailable(t *testing.T, ns, name string) time.Duration {
	t.Helper()
	return eventually(t, 20*time.Second, func() string {
		d, err := running.client.AppsV1().Deployments(ns).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		if d.Status.AvailableReplicas != *d.Spec.Replicas {
			return fmt.Sprintf("%d of %d replicas available", d.Status.AvailableReplicas, *d.Spec.Replicas)
		}
		return ""
	})
}

// get asks a pod by HTTP; the answer is what echo-basic says about itself.
func get(t *testing.T, ip, path string) (answer struct{ Pod, Namespace, Path string }) {
	t.Helper()
	c := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get("http://" + net.JoinHostPort(ip, "3000") + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestDeploymentWithServiceIsReady(t *testing.T) {
	ns := newNamespace(t)
	deploy(t, ns, "web", 3, nil)
	waitAvailable(t, ns, "web")
	nodes := map[string]bool{}
	byIP := map[string]string{}
	for _, p := range pods(t, ns) {
		nodes[p.Spec.NodeName] = true
		if len(p.Status.PodIPs) != 2 || p.Status.HostIP == "" || p.Status.StartTime == nil || p.Status.Phase != v1.PodRunning {
			t.Errorf("%s: status %+v", p.Name, p.Status)
		}
		for _, ip := range p.Status.PodIPs {
			byIP[ip.IP] = p.Name
			if a := get(t, ip.IP, "/x"); a.Pod != p.Name || a.Namespace != ns || a.Path != "/x" {
				t.Errorf("%s at %s says it is %+v", p.Name, ip.IP, a)
			}
		}
	}
	if len(nodes) != 2 {
		t.Errorf("pods on nodes %v, want both", nodes)
	}
	eventually(t, 5*time.Second, func() string {
		l, err := running.client.DiscoveryV1().EndpointSlices(ns).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=web"})
		if err != nil || len(l.Items) != 1 {
			return fmt.Sprintf("%d slices, %v", len(l.Items), err)
		}
		ready := 0
		for _, e := range l.Items[0].Endpoints {
			if e.Conditions.Ready != nil && *e.Conditions.Ready && byIP[e.Addresses[0]] == e.TargetRef.Name {
				ready++
			}
		}
		if ready != 3 || *l.Items[0].Ports[0].Port != 3000 {
			return fmt.Sprintf("%d endpoints ready: %+v", ready, l.Items[0])
		}
		return ""
	})
}

func TestReadyMeansListening(t *testing.T) {
	ns := newNamespace(t)
	deploy(t, ns, "deaf", 1, func(s *v1.PodSpec) {
		s.Containers[0].Ports = []v1.ContainerPort{{ContainerPort: 3999}} // nothing listens there
	})
	eventually(t, 10*time.Second, func() string {
		if p := pods(t, ns); len(p) != 1 || p[0].Status.Phase != v1.PodRunning {
			return fmt.Sprint(len(p), " pods, not running")
		}
		return ""
	})
	p := pods(t, ns)[0]
	eventually(t, 5*time.Second, func() string { // it serves, on another port
		c, err := net.DialTimeout("tcp", net.JoinHostPort(p.Status.PodIP, "3000"), time.Second)
		if err != nil {
			return err.Error()
		}
		return errorOrEmpty(c.Close())
	})
	time.Sleep(10 * portsSettle) // long enough to be wrong in
	if s := pods(t, ns)[0].Status.ContainerStatuses[0]; s.Ready {
		t.Errorf("ready with its declared port closed: %+v", s)
	}
}

func TestLogs(t *testing.T) {
	ns := newNamespace(t)
	deploy(t, ns, "talker", 1, nil)
	waitAvailable(t, ns, "talker")
	p := pods(t, ns)[0]
	read := func(o v1.PodLogOptions) string {
		b, err := running.client.CoreV1().Pods(ns).GetLogs(p.Name, &o).DoRaw(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	get(t, p.Status.PodIP, "/first")
	const said = "Echoing back request made to /first to client"
	eventually(t, 5*time.Second, func() string {
		if out := read(v1.PodLogOptions{}); !strings.Contains(out, said) {
			return out
		}
		return ""
	})
	line := strings.SplitN(read(v1.PodLogOptions{Timestamps: true}), "\n", 2)[0]
	stamp, _, _ := strings.Cut(line, " ")
	if at, err := time.Parse(time.RFC3339Nano, stamp); err != nil || time.Since(at) > time.Minute {
		t.Errorf("timestamp of %q: %v", line, err)
	}
	one := int64(1)
	if out := read(v1.PodLogOptions{TailLines: &one}); strings.Count(out, "\n") != 1 {
		t.Errorf("tailLines=1: %q", out)
	}
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // sinceTime has whole seconds
	since := metav1.NewTime(time.Now())
	follow, err := running.client.CoreV1().Pods(ns).GetLogs(p.Name, &v1.PodLogOptions{SinceTime: &since, Follow: true}).Stream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer follow.Close()
	get(t, p.Status.PodIP, "/second")
	time.AfterFunc(5*time.Second, func() { follow.Close() })
	var seen bytes.Buffer
	b := make([]byte, 4096)
	for !strings.Contains(seen.String(), "/second") {
		n, err := follow.Read(b)
		seen.Write(b[:n])
		if err != nil {
			t.Fatalf("followed %q, then %v", seen.String(), err)
		}
	}
	if strings.Contains(seen.String(), "/first") {
		t.Errorf("sinceTime did not leave out the past: %q", seen.String())
	}
}

func TestExec(t *testing.T) {
	ns := newNamespace(t)
	deploy(t, ns, "box", 1, nil)
	waitAvailable(t, ns, "box")
	p := pods(t, ns)[0]
	run := func(stdin string, argv ...string) (string, string, error) {
		o := &v1.PodExecOptions{Container: "echo", Command: argv, Stdin: stdin != "", Stdout: true, Stderr: true}
		r := running.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(ns).Name(p.Name).SubResource("exec").VersionedParams(o, scheme.ParameterCodec)
		e, err := remotecommand.NewSPDYExecutor(running.admin, "POST", r.URL())
		if err != nil {
			t.Fatal(err)
		}
		var out, errOut bytes.Buffer
		limit, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		so := remotecommand.StreamOptions{Stdout: &out, Stderr: &errOut}
		if stdin != "" {
			so.Stdin = strings.NewReader(stdin)
		}
		err = e.StreamWithContext(limit, so)
		return out.String(), errOut.String(), err
	}
	out, errOut, err := run("", "sh", "-c", "echo $POD_NAME; hostname; echo oops >&2")
	if err != nil || out != p.Name+"\n"+p.Name+"\n" || errOut != "oops\n" {
		t.Errorf("exec: %q, %q, %v", out, errOut, err)
	}
	if out, _, err = run("a\nb\n", "wc", "-l"); err != nil || strings.TrimSpace(out) != "2" {
		t.Errorf("stdin: %q, %v", out, err)
	}
	if _, _, err = run("", "sh", "-c", "exit 3"); err == nil || !strings.Contains(err.Error(), "exit code 3") {
		t.Errorf("exit status: %v", err)
	}
	if out, _, err = run("", "cat", "/proc/1/comm"); err != nil || !strings.HasPrefix(out, "echo-basic") {
		t.Errorf("PID 1 of the pod is %q, %v", out, err)
	}
}

func TestPodWaitsForItsSecret(t *testing.T) {
	ns := newNamespace(t)
	deploy(t, ns, "safe", 1, func(s *v1.PodSpec) {
		mode := int32(0o400)
		s.Volumes = []v1.Volume{{Name: "keys", VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "late", DefaultMode: &mode,
			Items: []v1.KeyToPath{{Key: "tls.crt", Path: "crt"}, {Key: "tls.key", Path: "sub/key"}}}}}}
		c := &s.Containers[0]
		c.VolumeMounts = []v1.VolumeMount{{Name: "keys", MountPath: "/etc/server/keys"}}
		c.Env = append(c.Env, v1.EnvVar{Name: "TLS_SERVER_CERT", Value: "/etc/server/keys/crt"}, v1.EnvVar{Name: "TLS_SERVER_PRIVKEY", Value: "/etc/server/keys/sub/key"})
	})
	eventually(t, 10*time.Second, func() string {
		l := pods(t, ns)
		if len(l) != 1 || len(l[0].Status.ContainerStatuses) != 1 || l[0].Status.ContainerStatuses[0].State.Waiting == nil {
			return "no pod waits"
		}
		if w := l[0].Status.ContainerStatuses[0].State.Waiting; l[0].Status.Phase != v1.PodPending || w.Reason != "ContainerCreating" || !strings.Contains(w.Message, "late") {
			return fmt.Sprintf("%s: %+v", l[0].Status.Phase, w)
		}
		return ""
	})
	pair, err := running.ca.issue("late", "late.example", nil, []string{"late.example"})
	if err != nil {
		t.Fatal(err)
	}
	secret := &v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "late"}, Type: v1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": pair.certPEM, "tls.key": pair.keyPEM}}
	if _, err = running.client.CoreV1().Secrets(ns).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if took := waitAvailable(t, ns, "safe"); took > 5*time.Second {
		t.Errorf("ready %s after its Secret came", took)
	}
	c, err := tls.Dial("tcp", net.JoinHostPort(pods(t, ns)[0].Status.PodIP, "8443"), &tls.Config{RootCAs: running.ca.pool(), ServerName: "late.example"})
	if err != nil {
		t.Fatal("the pod does not use its Secret: ", err)
	}
	c.Close()
}

func TestDeletion(t *testing.T) {
	ns := newNamespace(t)
	deploy(t, ns, "brief", 2, nil)
	waitAvailable(t, ns, "brief")
	ip := pods(t, ns)[0].Status.PodIP
	if err := running.client.AppsV1().Deployments(ns).Delete(ctx, "brief", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	took := eventually(t, 5*time.Second, func() string {
		if n := len(pods(t, ns)); n != 0 {
			return fmt.Sprint(n, " pods are there")
		}
		return ""
	})
	t.Logf("Deployment and pods gone after %s", took)
	if c, err := net.DialTimeout("tcp", net.JoinHostPort(ip, "3000"), 200*time.Millisecond); err == nil {
		c.Close()
		t.Error("a deleted pod still answers")
	}
	if err := running.client.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	// Upstream's controller looks at a deleted namespace only after five seconds.
	took = eventually(t, 15*time.Second, func() string {
		got, err := running.client.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Sprintf("namespace: %v, %+v", err, got.Status)
		}
		return ""
	})
	t.Logf("namespace gone after %s", took)
}

func TestContainerIsRestarted(t *testing.T) {
	ns := newNamespace(t)
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "once"}, Spec: v1.PodSpec{Containers: []v1.Container{{Name: "c", Image: "echo-basic",
		Command: []string{"sh", "-c", "echo up; sleep 0.2; exit 7"}}}}}
	if _, err := running.client.CoreV1().Pods(ns).Create(ctx, p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, func() string {
		l := pods(t, ns)
		if len(l) != 1 || len(l[0].Status.ContainerStatuses) != 1 {
			return "no status"
		}
		s := l[0].Status.ContainerStatuses[0]
		if s.RestartCount < 1 || s.LastTerminationState.Terminated == nil || s.LastTerminationState.Terminated.ExitCode != 7 {
			return fmt.Sprintf("%+v", s)
		}
		return ""
	})
}

func TestAPIServerKilledComesBackWithItsData(t *testing.T) {
	ns := newNamespace(t)
	deploy(t, ns, "steady", 1, nil)
	waitAvailable(t, ns, "steady")
	before := pods(t, ns)[0]
	s := running.service("apiserver")
	pid, starts := s.alive()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, func() string {
		if now, n := s.alive(); now == 0 || n == starts {
			return "not started again"
		}
		return ""
	})
	took := eventually(t, 30*time.Second, func() string {
		if _, err := running.client.AppsV1().Deployments(ns).Get(ctx, "steady", metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		return ""
	})
	t.Logf("back after %s", took)
	after := pods(t, ns)
	if len(after) != 1 || after[0].UID != before.UID || after[0].Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("the pod did not live on: %+v", after)
	}
	deploy(t, ns, "newer", 1, nil) // controllers and kubelet are back too
	waitAvailable(t, ns, "newer")
}

func TestGatewayAPIIsServedAndChecked(t *testing.T) {
	d, err := dynamic.NewForConfig(running.admin)
	if err != nil {
		t.Fatal(err)
	}
	crd, err := d.Resource(definitions).Get(ctx, "gateways.gateway.networking.k8s.io", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a := crd.GetAnnotations()
	if a["gateway.networking.k8s.io/channel"] != "experimental" || a["gateway.networking.k8s.io/bundle-version"] != "v1.6.3" {
		t.Errorf("definitions are %v", a)
	}
	bad := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
		"metadata": map[string]any{"name": "bad"}, "spec": map[string]any{"gatewayClassName": "x", "listeners": []any{
			map[string]any{"name": "one", "protocol": "TCP", "port": int64(80), "hostname": "no.hostname.for.tcp"}}}}}
	gateways := schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"}
	if _, err = d.Resource(gateways).Namespace("default").Create(ctx, bad, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("CEL let a hostname on a TCP listener pass: %v", err)
	}
}

func TestAgentHasItsRightsAndNoMore(t *testing.T) {
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(running.dir, "agent.kubeconfig"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.DiscoveryV1().EndpointSlices("").List(ctx, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	for _, path := range []string{"gatewayclasses", "gateways", "httproutes", "listenersets", "backendtlspolicies"} {
		if err = c.RESTClient().Get().AbsPath("/apis/gateway.networking.k8s.io/v1/" + path).Do(ctx).Error(); err != nil {
			t.Error(path, err)
		}
	}
	if _, err = c.CoreV1().Pods("").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("may list pods: %v", err)
	}
	if err = c.CoreV1().Services("default").Delete(ctx, "kubernetes", metav1.DeleteOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("may delete Services: %v", err)
	}
}

func TestKubeletAdmitsOnlyTheAPIServer(t *testing.T) {
	n := running.kubelet.nodes[0]
	pair, err := running.ca.issue("stranger", "stranger", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(pair.certPEM, pair.keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	c := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: running.ca.pool(), Certificates: []tls.Certificate{cert}}}}
	r, err := c.Get(fmt.Sprintf("https://%s:%d/containerLogs/a/b/c", running.address, n.Status.DaemonEndpoints.KubeletEndpoint.Port))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if body, _ := io.ReadAll(r.Body); r.StatusCode != http.StatusForbidden {
		t.Errorf("%d %s", r.StatusCode, body)
	}
}
