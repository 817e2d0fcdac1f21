package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// handler is the part of a kubelet's server that the API server proxies: container logs and exec.
func (k *kubelet) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.serveLogs)
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", k.serveExec)
	mux.HandleFunc("/exec/{namespace}/{pod}/{uid}/{container}", k.serveExec)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fromAPIServer(r.TLS.PeerCertificates) {
			http.Error(w, "only the API server may ask", http.StatusForbidden)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func fromAPIServer(chain []*x509.Certificate) bool {
	return len(chain) > 0 && chain[0].Subject.CommonName == kubeletClientName
}

func (k *kubelet) container(w http.ResponseWriter, r *http.Request) *container {
	p := k.find(r.PathValue("namespace"), r.PathValue("pod"))
	if p != nil {
		for _, c := range append(p.init, p.main...) {
			if c.spec.Name == r.PathValue("container") {
				return c
			}
		}
	}
	http.Error(w, "no such container here", http.StatusNotFound)
	return nil
}

func parseLogQuery(r *http.Request) (*logQuery, error) {
	v := r.URL.Query()
	q := &logQuery{tail: -1, follow: v.Get("follow") == "true", timestamps: v.Get("timestamps") == "true"}
	var err error
	if s := v.Get("sinceTime"); s != "" {
		if q.since, err = time.Parse(time.RFC3339, s); err != nil {
			return nil, err
		}
	}
	if s := v.Get("sinceSeconds"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			return nil, err
		}
		q.since = time.Now().Add(-time.Duration(n) * time.Second)
	}
	if s := v.Get("tailLines"); s != "" {
		if q.tail, err = strconv.Atoi(s); err != nil {
			return nil, err
		}
	}
	if s := v.Get("limitBytes"); s != "" {
		if q.limit, err = strconv.ParseInt(s, 10, 64); err != nil {
			return nil, err
		}
	}
	return q, nil
}

func (k *kubelet) serveLogs(w http.ResponseWriter, r *http.Request) {
	c := k.container(w, r)
	if c == nil {
		return
	}
	q, err := parseLogQuery(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	flush := func() {
		if f, ok := w.(http.Flusher); ok {
			f.Flush()
		}
	}
	if err = q.send(w, flush, c.logPath(), r.Context().Done(), c.done); err != nil && !errors.Is(err, io.EOF) {
		logf("event=logs_not_sent pod=%s error=%q", r.PathValue("pod"), err)
	}
}

func (k *kubelet) serveExec(w http.ResponseWriter, r *http.Request) {
	c := k.container(w, r)
	if c == nil {
		return
	}
	opts, err := remotecommand.NewOptions(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	remotecommand.ServeExec(w, r, c, c.p.spec.Name, string(c.p.spec.UID), c.spec.Name, r.URL.Query()["command"], opts,
		4*time.Hour, 30*time.Second, remotecommand.SupportedStreamingProtocols)
}

// ExecInContainer runs a command beside the container's process, in all its namespaces.  There are no terminals here: with tty,
// the two outputs are one stream, and that is all.
func (c *container) ExecInContainer(ctx context.Context, _, _, _ string, argv []string, in io.Reader, out, errOut io.WriteCloser,
	tty bool, _ <-chan remotecommand.TerminalSize, timeout time.Duration) error {
	pid, env := c.runs()
	if pid == 0 || len(argv) == 0 {
		return fmt.Errorf("container %s does not run", c.spec.Name)
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	args := append([]string{"--target", strconv.Itoa(pid), "--mount", "--net", "--uts", "--ipc", "--pid", "--"}, argv...)
	cmd := exec.Command("nsenter", args...)
	cmd.Env = env
	if tty {
		errOut = out
	}
	if out != nil {
		cmd.Stdout = out
	}
	if errOut != nil {
		cmd.Stderr = errOut
	}
	if in != nil { // not cmd.Stdin: Wait would wait for a client that never closes it
		stdin, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		go func() {
			_, _ = io.Copy(stdin, in)
			_ = stdin.Close()
		}()
	}
	if err := spawn(cmd); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		select {
		case <-ctx.Done():
			signalGroup(cmd.Process.Pid, syscall.SIGKILL)
		case <-ended:
		}
	}()
	err := cmd.Wait()
	close(ended)
	if cmd.ProcessState != nil && !cmd.ProcessState.Success() {
		code := exitCode(cmd.ProcessState)
		return utilexec.CodeExitError{Err: fmt.Errorf("command terminated with exit code %d", code), Code: code}
	}
	return err
}
