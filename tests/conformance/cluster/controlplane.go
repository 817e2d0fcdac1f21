package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// The controllers a Deployment behind a Service needs, and those that clean up after it.  No scheduler, no node lifecycle:
// the process kubelet binds pods itself and its nodes never fail.
var controllers = []string{
	"deployment-controller", "replicaset-controller", "statefulset-controller", "job-controller",
	"endpointslice-controller", "namespace-controller", "garbage-collector-controller",
	"serviceaccount-controller", "serviceaccount-token-controller", "root-ca-certificate-publisher-controller",
	"clusterrole-aggregation-controller", "validatingadmissionpolicy-status-controller",
}

// controlPlane is etcd, kube-apiserver and kube-controller-manager as child processes.
type controlPlane struct {
	dir, binDir, address string
	port                 int
	ca                   *authority
	admin                *rest.Config // cluster-admin, without client-side rate limit
	client               *kubernetes.Clientset
	services             []*service // in order of start
}

func (c *controlPlane) url() string {
	return "https://" + net.JoinHostPort(c.address, strconv.Itoa(c.port))
}

func freePorts(address string, n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// startControlPlane returns when the API server is ready and the controllers run.
func startControlPlane(ctx context.Context, dir, binDir, address string) (*controlPlane, error) {
	c := &controlPlane{dir: dir, binDir: binDir, address: address}
	for _, d := range []string{"pki", "log", "etcd"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return nil, err
		}
	}
	ports, err := freePorts(address, 3)
	if err != nil {
		return nil, err
	}
	c.port = ports[0]
	if c.ca, err = newAuthority(filepath.Join(dir, "pki")); err != nil {
		return nil, err
	}
	if err = c.start(ctx, ports[1], ports[2]); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

func (c *controlPlane) start(ctx context.Context, etcdPort, peerPort int) error {
	if err := c.startEtcd(etcdPort, peerPort); err != nil {
		return err
	}
	saKey, err := c.ca.signingKey("service-accounts.key")
	if err != nil {
		return err
	}
	if err = c.startAPIServer(etcdPort, saKey); err != nil {
		return err
	}
	if _, err = c.writeKubeconfig("admin", "gatehouse-admin", "system:masters"); err != nil {
		return err
	}
	manager, err := c.writeKubeconfig("controller-manager", "system:kube-controller-manager")
	if err != nil {
		return err
	}
	if c.admin, err = clientcmd.BuildConfigFromFlags("", filepath.Join(c.dir, "admin.kubeconfig")); err != nil {
		return err
	}
	c.admin.QPS = -1
	if c.client, err = kubernetes.NewForConfig(c.admin); err != nil {
		return err
	}
	if err = c.waitReady(ctx); err != nil {
		return err
	}
	return c.startControllers(manager, saKey)
}

func (c *controlPlane) serve(name, program string, args ...string) error {
	s, err := startService(name, filepath.Join(c.dir, "log", name+".log"), append([]string{filepath.Join(c.binDir, program)}, args...)...)
	if err == nil {
		c.services = append(c.services, s)
	}
	return err
}

func (c *controlPlane) startEtcd(port, peerPort int) error {
	pair, err := c.ca.issue("etcd", "etcd", nil, []string{c.address, "localhost"})
	if err != nil {
		return err
	}
	url := "https://" + net.JoinHostPort(c.address, strconv.Itoa(port))
	peer := "https://" + net.JoinHostPort(c.address, strconv.Itoa(peerPort))
	// No fsync: a killed process loses nothing (the page cache has it), only a crash of the machine would.
	return c.serve("etcd", "etcd", "--name=etcd", "--data-dir="+filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+url, "--advertise-client-urls="+url, "--cert-file="+pair.certPath, "--key-file="+pair.keyPath,
		"--client-cert-auth", "--trusted-ca-file="+c.ca.caPath(),
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=etcd="+peer,
		"--peer-cert-file="+pair.certPath, "--peer-key-file="+pair.keyPath, "--peer-client-cert-auth", "--peer-trusted-ca-file="+c.ca.caPath())
}

func (c *controlPlane) startAPIServer(etcdPort int, saKey string) error {
	server, err := c.ca.issue("apiserver", "kube-apiserver", nil,
		[]string{c.address, "127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "10.96.0.1"})
	if err != nil {
		return err
	}
	etcd, err := c.ca.issue("apiserver-etcd", "kube-apiserver", nil, nil)
	if err != nil {
		return err
	}
	kubelet, err := c.ca.issue("apiserver-kubelet", kubeletClientName, nil, nil)
	if err != nil {
		return err
	}
	return c.serve("apiserver", "kube-apiserver",
		"--etcd-servers=https://"+net.JoinHostPort(c.address, strconv.Itoa(etcdPort)),
		"--etcd-cafile="+c.ca.caPath(), "--etcd-certfile="+etcd.certPath, "--etcd-keyfile="+etcd.keyPath,
		"--bind-address="+c.address, "--advertise-address="+c.address, "--secure-port="+strconv.Itoa(c.port),
		"--endpoint-reconciler-type=none", // our address may be a loopback one, which no Endpoints may hold
		"--tls-cert-file="+server.certPath, "--tls-private-key-file="+server.keyPath, "--client-ca-file="+c.ca.caPath(),
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+saKey, "--service-account-signing-key-file="+saKey,
		"--authorization-mode=Node,RBAC", "--anonymous-auth=false", "--allow-privileged=true",
		"--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
		"--kubelet-certificate-authority="+c.ca.caPath(), "--kubelet-client-certificate="+kubelet.certPath,
		"--kubelet-client-key="+kubelet.keyPath, "--kubelet-preferred-address-types=InternalIP",
		"--profiling=false")
}

func (c *controlPlane) startControllers(kubeconfig, saKey string) error {
	return c.serve("controller-manager", "kube-controller-manager",
		"--kubeconfig="+kubeconfig, "--controllers="+strings.Join(controllers, ","), "--leader-elect=false", "--secure-port=0",
		"--use-service-account-credentials", "--service-account-private-key-file="+saKey, "--root-ca-file="+c.ca.caPath(),
		"--kube-api-qps=200", "--kube-api-burst=400", "--profiling=false")
}

// writeKubeconfig makes NAME.kubeconfig for a user with a client certificate; everything is inside the one file.
func (c *controlPlane) writeKubeconfig(name, user string, groups ...string) (string, error) {
	pair, err := c.ca.issue("client-"+name, user, groups, nil)
	if err != nil {
		return "", err
	}
	k := clientcmdapi.NewConfig()
	k.Clusters["gatehouse"] = &clientcmdapi.Cluster{Server: c.url(), CertificateAuthorityData: c.ca.caPEM()}
	k.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: pair.certPEM, ClientKeyData: pair.keyPEM}
	k.Contexts[name] = &clientcmdapi.Context{Cluster: "gatehouse", AuthInfo: name}
	k.CurrentContext = name
	path := filepath.Join(c.dir, name+".kubeconfig")
	return path, clientcmd.WriteToFile(*k, path)
}

func (c *controlPlane) service(name string) *service {
	for _, s := range c.services {
		if s.name == name {
			return s
		}
	}
	return nil
}

// waitReady polls /readyz; a process that keeps ending is reported with what it said.
func (c *controlPlane) waitReady(ctx context.Context) error {
	for {
		body, err := c.client.RESTClient().Get().AbsPath("/readyz").Timeout(2 * time.Second).DoRaw(ctx)
		if err == nil && string(body) == "ok" {
			return nil
		}
		for _, s := range c.services {
			if _, starts := s.alive(); starts > 3 {
				return fmt.Errorf("%s ends again and again; its log ends:\n%s", s.name, s.logTail())
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the API server did not become ready (%v); its log ends:\n%s", err, c.services[len(c.services)-1].logTail())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stop ends the processes in reverse order; etcd last.
func (c *controlPlane) stop() {
	for i := len(c.services) - 1; i >= 0; i-- {
		c.services[i].stop(3 * time.Second)
	}
	c.services = nil
}
