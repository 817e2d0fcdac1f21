package main

import "context"

const kubeletClientName = "kube-apiserver-kubelet-client"

type kubeletOptions struct {
	images               stringList
	nodes                int
	bridge, pods4, pods6 string
}
type kubelet struct{}

func startKubelet(ctx context.Context, plane *controlPlane, o *kubeletOptions) (*kubelet, error) {
	return &kubelet{}, nil
}
func (k *kubelet) stop() {}
