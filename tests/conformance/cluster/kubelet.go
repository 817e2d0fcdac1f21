package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

const kubeletClientName = "kube-apiserver-kubelet-client"

type kubeletOptions struct {
	images            stringList
	nodes             int
	bridge, ownBridge string
	pods4, pods6      string
}

// kubelet is the kubelet of every node here, and their scheduler: it binds pods to its nodes in turn and runs each as plain
// processes.  One goroutine per pod (pod.go) does what has to be done for it; this file feeds them.
type kubelet struct {
	plane   *controlPlane
	client  *kubernetes.Clientset
	images  map[string]string
	podinit string
	net     *podNetwork
	nodes   []*v1.Node
	server  *http.Server
	ctx     context.Context
	cancel  context.CancelFunc

	mu   sync.Mutex
	pods map[types.UID]*pod
	next int // node for the next pod
	all  sync.WaitGroup
}

func startKubelet(ctx context.Context, plane *controlPlane, o *kubeletOptions) (*kubelet, error) {
	k := &kubelet{plane: plane, client: plane.client, images: map[string]string{}, pods: map[types.UID]*pod{}}
	for _, s := range o.images {
		name, program, ok := strings.Cut(s, "=")
		if _, err := os.Stat(program); !ok || err != nil {
			return nil, fmt.Errorf("--image %s: NAME=PROGRAM, and the program must be there", s)
		}
		abs, err := filepath.Abs(program)
		if err != nil {
			return nil, err
		}
		k.images[name] = abs
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	k.podinit = filepath.Join(filepath.Dir(self), "podinit")
	if _, err = os.Stat(k.podinit); err != nil {
		return nil, err
	}
	if k.net, err = newPodNetwork(o); err != nil {
		k.net.stop()
		return nil, err
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	port, err := k.serve()
	if err == nil {
		err = k.registerNodes(ctx, o.nodes, port)
	}
	if err == nil {
		err = k.watch(ctx)
	}
	if err != nil {
		k.stop()
		return nil, err
	}
	return k, nil
}

// serve opens the port that the API server asks for logs and exec; it admits only the API server.
func (k *kubelet) serve() (int, error) {
	pair, err := k.plane.ca.issue("kubelet", "kubelet", nil, []string{k.plane.address})
	if err != nil {
		return 0, err
	}
	cert, err := tls.X509KeyPair(pair.certPEM, pair.keyPEM)
	if err != nil {
		return 0, err
	}
	l, err := tls.Listen("tcp", net.JoinHostPort(k.plane.address, "0"), &tls.Config{
		Certificates: []tls.Certificate{cert}, ClientCAs: k.plane.ca.pool(), ClientAuth: tls.RequireAndVerifyClientCert,
		NextProtos: []string{"http/1.1"}, // SPDY and WebSocket upgrades need it
	})
	if err != nil {
		return 0, err
	}
	k.server = &http.Server{Handler: k.handler(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = k.server.Serve(l) }()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func (k *kubelet) registerNodes(ctx context.Context, n, port int) error {
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("node-%d", i)
		capacity := v1.ResourceList{
			v1.ResourceCPU:    *resource.NewQuantity(int64(runtime.NumCPU()), resource.DecimalSI),
			v1.ResourceMemory: resource.MustParse("64Gi"), v1.ResourcePods: resource.MustParse("500"),
		}
		node := &v1.Node{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
				"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": runtime.GOARCH,
				"topology.kubernetes.io/zone": fmt.Sprintf("zone-%d", i)}},
			Status: v1.NodeStatus{
				Capacity: capacity, Allocatable: capacity,
				Addresses:       []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: k.plane.address}, {Type: v1.NodeHostName, Address: name}},
				DaemonEndpoints: v1.NodeDaemonEndpoints{KubeletEndpoint: v1.DaemonEndpoint{Port: int32(port)}},
				NodeInfo: v1.NodeSystemInfo{KubeletVersion: "v1.36.3-processes", OSImage: "processes of this machine",
					OperatingSystem: "linux", Architecture: runtime.GOARCH, ContainerRuntimeVersion: "processes://1"},
				Conditions: []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady",
					Message: "pods are processes", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}},
			},
		}
		made, err := k.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		if len(made.Spec.Taints) > 0 { // admission marks every new node as not ready; with no node lifecycle controller, we unmark
			made.Spec.Taints = nil
			if made, err = k.client.CoreV1().Nodes().Update(ctx, made, metav1.UpdateOptions{}); err != nil {
				return err
			}
		}
		made.Status = node.Status
		if made, err = k.client.CoreV1().Nodes().UpdateStatus(ctx, made, metav1.UpdateOptions{}); err != nil {
			return err
		}
		k.nodes = append(k.nodes, made)
	}
	return nil
}

func (k *kubelet) watch(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(k.client, 0)
	pods := factory.Core().V1().Pods().Informer()
	_, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { k.see(o.(*v1.Pod)) },
		UpdateFunc: func(_, o any) { k.see(o.(*v1.Pod)) },
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			if p, ok := o.(*v1.Pod); ok {
				k.gone(p.UID)
			}
		},
	})
	if err != nil {
		return err
	}
	factory.Start(k.ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), pods.HasSynced) {
		return fmt.Errorf("pods cannot be listed")
	}
	return nil
}

// see takes a pod as the API server has it now.
func (k *kubelet) see(p *v1.Pod) {
	if p.Spec.NodeName == "" {
		if p.DeletionTimestamp == nil && len(p.Spec.SchedulingGates) == 0 {
			k.bind(p)
		}
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.pods[p.UID]
	if w == nil {
		if k.node(p.Spec.NodeName) == nil || k.ctx.Err() != nil || finished(p) {
			return
		}
		w = newPod(k, p)
		k.pods[p.UID] = w
		k.all.Add(1)
		go func() {
			defer k.all.Done()
			w.run()
			k.mu.Lock()
			defer k.mu.Unlock()
			delete(k.pods, p.UID)
		}()
	}
	if p.DeletionTimestamp != nil {
		w.end(false)
	}
}

func finished(p *v1.Pod) bool {
	return p.DeletionTimestamp == nil && (p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed)
}

func (k *kubelet) gone(uid types.UID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if w := k.pods[uid]; w != nil {
		w.end(true)
	}
}

func (k *kubelet) node(name string) *v1.Node {
	for _, n := range k.nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// bind gives a pod to the next node whose labels suit it.
func (k *kubelet) bind(p *v1.Pod) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for range k.nodes {
		n := k.nodes[k.next%len(k.nodes)]
		k.next++
		if !labels.SelectorFromSet(p.Spec.NodeSelector).Matches(labels.Set(n.Labels)) {
			continue
		}
		b := &v1.Binding{ObjectMeta: metav1.ObjectMeta{Name: p.Name, Namespace: p.Namespace, UID: p.UID}, Target: v1.ObjectReference{Kind: "Node", Name: n.Name}}
		go func() { // refused when it is bound or gone by now: then there is nothing to do
			_ = k.client.CoreV1().Pods(p.Namespace).Bind(k.ctx, b, metav1.CreateOptions{})
		}()
		return
	}
}

// find is for logs and exec.
func (k *kubelet) find(namespace, name string) *pod {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, w := range k.pods {
		if w.spec.Namespace == namespace && w.spec.Name == name {
			return w
		}
	}
	return nil
}

// program is what runs for an image: its name's last part, without tag and digest, says which.
func (k *kubelet) program(image string) string {
	name, _, _ := strings.Cut(path.Base(image), "@")
	name, _, _ = strings.Cut(name, ":")
	return k.images[name]
}

// stop kills every pod and waits for the ends; their objects stay as they are.
func (k *kubelet) stop() {
	k.cancel()
	k.mu.Lock()
	for _, w := range k.pods {
		w.end(true)
	}
	k.mu.Unlock()
	k.all.Wait()
	if k.server != nil {
		_ = k.server.Close()
	}
	k.net.stop()
}
