package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	stopGrace   = 500 * time.Millisecond // between SIGTERM and SIGKILL, or the pod's own when that is shorter
	retryEvery  = 200 * time.Millisecond // for what a pod waits for: its volumes' sources, an API server that is away
	backOffMax  = 10 * time.Second
	portsSettle = 100 * time.Millisecond
)

// pod is the life of one pod: volumes, network, init containers, containers, status, end.
type pod struct {
	k          *kubelet
	spec       *v1.Pod // as first seen; its spec does not change
	dir        string
	nic        *podNIC // nil until there is one
	init, main []*container
	started    metav1.Time

	ctx    context.Context // done: the pod has to end
	cancel context.CancelFunc

	conditions map[v1.PodConditionType]v1.PodCondition // as last computed; only publish touches it

	mu      sync.Mutex
	lost    bool   // the object is gone: no status, no delete
	waiting string // what it waits for before its containers can start
	dirty   chan struct{}
}

func newPod(k *kubelet, p *v1.Pod) *pod {
	w := &pod{k: k, spec: p.DeepCopy(), dir: filepath.Join(k.plane.dir, "pods", string(p.UID)), started: metav1.Now(),
		conditions: map[v1.PodConditionType]v1.PodCondition{}, dirty: make(chan struct{}, 1)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	for i := range p.Spec.InitContainers {
		w.init = append(w.init, newContainer(w, &w.spec.Spec.InitContainers[i], true))
	}
	for i := range p.Spec.Containers {
		w.main = append(w.main, newContainer(w, &w.spec.Spec.Containers[i], false))
	}
	return w
}

// end asks the pod to end; lost: its object no longer exists.  May be called from anywhere, again and again.
func (w *pod) end(lost bool) {
	w.mu.Lock()
	w.lost = w.lost || lost
	w.mu.Unlock()
	w.cancel()
}

func (w *pod) isLost() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.lost
}

func (w *pod) run() {
	published := make(chan struct{})
	go func() { w.publish(); close(published) }()
	if err := w.start(); err != nil && w.ctx.Err() == nil {
		w.wait(err.Error())
		<-w.ctx.Done()
	}
	done := make(chan struct{})
	go func() {
		for _, c := range append(w.init, w.main...) {
			<-c.done
		}
		close(done)
	}()
	<-w.ctx.Done()
	<-done // each container sees ctx and ends itself
	<-published
	if w.nic != nil {
		w.k.net.detach(w.nic)
	}
	w.delete()
	_ = os.RemoveAll(w.dir)
}

// start brings the pod to where its containers run; it returns early when the pod has to end.
func (w *pod) start() error {
	defer func() { // containers that were never started are done
		for _, c := range append(w.init, w.main...) {
			c.skipIfIdle()
		}
	}()
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		return err
	}
	for { // volumes first, as a kubelet does: a pod waits for its Secrets and ConfigMaps
		err := w.mountVolumes()
		if err == nil {
			break
		}
		w.wait(err.Error())
		if !w.sleep(retryEvery) {
			return nil
		}
	}
	nic, err := w.k.net.attach()
	if err != nil {
		return err
	}
	w.mu.Lock()
	w.nic = nic
	w.mu.Unlock()
	w.wait("")
	for _, c := range w.init {
		c.begin()
		select {
		case <-c.done:
		case <-w.ctx.Done():
			return nil
		}
		if !c.succeeded() {
			return fmt.Errorf("init container %s failed", c.spec.Name)
		}
	}
	for _, c := range w.main {
		c.begin()
	}
	return nil
}

func (w *pod) wait(for_ string) {
	w.mu.Lock()
	w.waiting = for_
	w.mu.Unlock()
	w.changed()
}

// sleep is false when the pod has to end.
func (w *pod) sleep(d time.Duration) bool {
	select {
	case <-w.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// changed has the status written again soon.
func (w *pod) changed() {
	select {
	case w.dirty <- struct{}{}:
	default:
	}
}

// publish writes the status whenever it changed, until the pod has to end.
func (w *pod) publish() {
	last := ""
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.dirty:
		}
		status, err := json.Marshal(map[string]any{"status": w.status()})
		if err != nil || string(status) == last {
			continue
		}
		_, err = w.k.client.CoreV1().Pods(w.spec.Namespace).Patch(w.ctx, w.spec.Name, types.MergePatchType, status, metav1.PatchOptions{}, "status")
		if err == nil {
			last = string(status)
			continue
		}
		if !apierrors.IsNotFound(err) && w.ctx.Err() == nil {
			logf("pod=%s/%s event=status_not_written error=%q", w.spec.Namespace, w.spec.Name, err)
			if w.sleep(retryEvery) {
				w.changed()
			}
		}
	}
}

// delete removes the object, now that nothing runs.
func (w *pod) delete() {
	zero := int64(0)
	for !w.isLost() && w.k.ctx.Err() == nil {
		err := w.k.client.CoreV1().Pods(w.spec.Namespace).Delete(w.k.ctx, w.spec.Name,
			metav1.DeleteOptions{GracePeriodSeconds: &zero, Preconditions: &metav1.Preconditions{UID: &w.spec.UID}})
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return
		}
		time.Sleep(retryEvery)
	}
}

// status is the pod's, from its containers'.
func (w *pod) status() *v1.PodStatus {
	s := &v1.PodStatus{Phase: v1.PodPending, StartTime: &w.started, HostIP: w.k.plane.address,
		HostIPs: []v1.HostIP{{IP: w.k.plane.address}}, QOSClass: w.spec.Status.QOSClass, ObservedGeneration: w.spec.Generation}
	w.mu.Lock()
	waiting := w.waiting
	if w.nic != nil {
		for _, a := range w.nic.addrs {
			s.PodIPs = append(s.PodIPs, v1.PodIP{IP: a.String()})
		}
		if len(s.PodIPs) > 0 {
			s.PodIP = s.PodIPs[0].IP
		}
	}
	w.mu.Unlock()
	initialized, ready, begun, ended, failed := true, true, 0, 0, 0
	for _, c := range w.init {
		s.InitContainerStatuses = append(s.InitContainerStatuses, c.status(waiting))
		initialized = initialized && c.succeeded()
	}
	for _, c := range w.main {
		cs := c.status(waiting)
		s.ContainerStatuses = append(s.ContainerStatuses, cs)
		ready = ready && cs.Ready
		if cs.State.Running != nil || cs.RestartCount > 0 || cs.State.Terminated != nil {
			begun++
		}
		if c.finalState() {
			ended++
			if !c.succeeded() {
				failed++
			}
		}
	}
	switch {
	case ended == len(w.main) && failed > 0:
		s.Phase = v1.PodFailed
	case ended == len(w.main):
		s.Phase = v1.PodSucceeded
	case begun == len(w.main):
		s.Phase = v1.PodRunning
	}
	s.Conditions = []v1.PodCondition{w.condition(v1.PodReadyToStartContainers, waiting == "" && s.PodIP != ""), w.condition(v1.PodInitialized, initialized),
		w.condition(v1.PodReady, ready), w.condition(v1.ContainersReady, ready), w.condition(v1.PodScheduled, true)}
	return s
}

func (w *pod) condition(t v1.PodConditionType, is bool) v1.PodCondition {
	c := v1.PodCondition{Type: t, Status: v1.ConditionFalse, ObservedGeneration: w.spec.Generation}
	if is {
		c.Status = v1.ConditionTrue
	} else if t == v1.PodReady || t == v1.ContainersReady {
		c.Reason = "ContainersNotReady"
	}
	if had, ok := w.conditions[t]; ok && had.Status == c.Status {
		c.LastTransitionTime = had.LastTransitionTime
	} else {
		c.LastTransitionTime = metav1.Now()
	}
	w.conditions[t] = c
	return c
}

// grace is how long a container may take to end by itself.
func (w *pod) grace() time.Duration {
	g := stopGrace
	if s := w.spec.Spec.TerminationGracePeriodSeconds; s != nil {
		g = min(g, time.Duration(*s)*time.Second)
	}
	if s := w.spec.DeletionGracePeriodSeconds; s != nil {
		g = min(g, time.Duration(*s)*time.Second)
	}
	return g
}
