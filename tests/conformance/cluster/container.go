package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// container is one container of a pod: a process, started again as the pod's restart policy says.
type container struct {
	p      *pod
	spec   *v1.Container
	isInit bool
	done   chan struct{} // nothing runs and nothing will

	mu       sync.Mutex
	begun    bool
	pid      int
	env      []string
	ready    bool
	state    v1.ContainerState
	last     v1.ContainerState
	restarts int32
	final    bool // ended for good, by itself
	log      *logFile
}

func newContainer(p *pod, spec *v1.Container, isInit bool) *container {
	return &container{p: p, spec: spec, isInit: isInit, done: make(chan struct{})}
}

// skipIfIdle ends a container that was never started.
func (c *container) skipIfIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.begun {
		c.begun = true
		close(c.done)
	}
}

// begin sets the container going; once.
func (c *container) begin() {
	c.mu.Lock()
	c.begun = true
	c.mu.Unlock()
	go c.run()
}

func (c *container) run() {
	defer close(c.done)
	for wait := time.Second; ; wait = min(2*wait, backOffMax) {
		program, err := c.start()
		if err != nil {
			c.setWaiting(err.reason, err.message)
			<-c.p.ctx.Done()
			return
		}
		code := c.attend(program)
		if !c.ended(code) {
			return
		}
		if !c.p.sleep(wait) {
			return
		}
	}
}

type startError struct{ reason, message string }

// process is a started program and what it says.
type process struct {
	cmd  *exec.Cmd
	exit chan int // its status, after all it wrote is in the log
}

func (c *container) start() (*process, *startError) {
	argv, rest, mounts, err := c.plan()
	if err != nil {
		return nil, err
	}
	env, fail := c.p.environment(c.spec)
	if fail != nil {
		return nil, &startError{"CreateContainerConfigError", fail.Error()}
	}
	argv = append(argv, rest(env)...)
	log, fail := openLog(c.logPath())
	if fail != nil {
		return nil, &startError{"CreateContainerError", fail.Error()}
	}
	p, fail := c.launch(argv, env, mounts, log)
	if fail != nil {
		log.close()
		return nil, &startError{"CreateContainerError", fail.Error()}
	}
	c.mu.Lock()
	c.pid, c.env, c.log, c.ready = p.cmd.Process.Pid, env, log, false
	c.state = v1.ContainerState{Running: &v1.ContainerStateRunning{StartedAt: metav1.Now()}}
	c.mu.Unlock()
	c.p.changed()
	return p, nil
}

// plan: the program, its arguments once the environment is known, and what it sees of the host.
func (c *container) plan() ([]string, func(env []string) []string, []mount, *startError) {
	mounts, err := c.p.mounts(c.spec)
	if err != nil {
		return nil, nil, nil, &startError{"CreateContainerConfigError", err.Error()}
	}
	if len(c.spec.Command) > 0 { // of the image, or of this machine
		if program := c.p.k.program(c.spec.Image); program != "" {
			mounts = append(mounts, mount{program, "/image/" + filepath.Base(program), true})
		}
		return nil, func(env []string) []string { return expandAll(slices.Concat(c.spec.Command, c.spec.Args), env) }, mounts, nil
	}
	program := c.p.k.program(c.spec.Image)
	if program == "" {
		return nil, nil, nil, &startError{"ErrImageNeverPull", "no program on this machine stands for image " + c.spec.Image}
	}
	inside := "/image/" + filepath.Base(program)
	mounts = append(mounts, mount{program, inside, true})
	return []string{inside}, func(env []string) []string { return expandAll(c.spec.Args, env) }, mounts, nil
}

// launch starts podinit in new namespaces; what it has to do goes down a pipe.
func (c *container) launch(argv, env []string, mounts []mount, log *logFile) (*process, error) {
	root := filepath.Join(c.p.dir, c.spec.Name+".root")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, err
	}
	spec, err := json.Marshal(map[string]any{"Hostname": c.p.hostname(), "Root": root, "Mounts": mounts, "Argv": argv, "Env": env,
		"Dir": c.spec.WorkingDir, "Files": c.p.rootFiles()})
	if err != nil {
		return nil, err
	}
	specIn, specOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer specIn.Close()
	// A namespace handle is a number; a duplicate of its own lets os.File close it.
	ns, err := syscall.Dup(int(c.p.nic.ns))
	if err != nil {
		specOut.Close()
		return nil, err
	}
	nsFile := os.NewFile(uintptr(ns), "netns")
	defer nsFile.Close()
	said, says, err := os.Pipe()
	if err != nil {
		specOut.Close()
		return nil, err
	}
	defer says.Close()
	cmd := exec.Command(c.p.k.podinit)
	cmd.Env = []string{"PATH=" + defaultPath}
	cmd.ExtraFiles = []*os.File{specIn, nsFile}
	cmd.Stdout, cmd.Stderr = says, says
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC}
	if err = spawn(cmd); err != nil {
		specOut.Close()
		said.Close()
		return nil, err
	}
	go func() {
		_, _ = specOut.Write(spec) // a podinit that is gone by now has its own story to tell
		specOut.Close()
	}()
	p := &process{cmd: cmd, exit: make(chan int, 1)}
	go func() {
		log.copy(said)
		said.Close()
		log.close()
		_ = cmd.Wait()
		p.exit <- exitCode(cmd.ProcessState)
	}()
	return p, nil
}

func exitCode(s *os.ProcessState) int {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return s.ExitCode()
}

// attend watches a process to its end, and ends it when the pod has to.
func (c *container) attend(p *process) int {
	began := time.Now()
	poll := time.NewTicker(portsSettle / 2)
	defer poll.Stop()
	seen, since := "", time.Now()
	for {
		select {
		case code := <-p.exit:
			return code
		case <-c.p.ctx.Done():
			return c.kill(p)
		case <-poll.C:
		}
		ports := c.p.listening()
		if now := strings.Join(ports, " "); now != seen {
			seen, since = now, time.Now()
		}
		if !c.isInit && c.suffices(ports, time.Since(since), time.Since(began)) {
			poll.Stop()
			c.mu.Lock()
			c.ready = true
			c.mu.Unlock()
			c.p.changed()
		}
	}
}

// suffices: Ready means that what is declared listens; if nothing is declared, that what listens no longer changes; and a
// program that opens no port at all is taken as ready after two seconds.
func (c *container) suffices(ports []string, unchanged, age time.Duration) bool {
	declared := c.declaredPorts()
	if len(declared) == 0 {
		return len(ports) > 0 && unchanged >= portsSettle || age >= 2*time.Second
	}
	have := " " + strings.Join(ports, " ") + " "
	for _, d := range declared {
		if !strings.Contains(have, " "+d+" ") {
			return false
		}
	}
	return true
}

func (c *container) declaredPorts() []string {
	var out []string
	for _, p := range c.spec.Ports {
		proto := strings.ToLower(string(p.Protocol))
		if proto == "" {
			proto = "tcp"
		}
		if proto == "tcp" || proto == "udp" {
			out = append(out, fmt.Sprintf("%s:%d", proto, p.ContainerPort))
		}
	}
	return out
}

func (c *container) kill(p *process) int {
	signalGroup(p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case code := <-p.exit:
		return code
	case <-time.After(c.p.grace()):
	}
	signalGroup(p.cmd.Process.Pid, syscall.SIGKILL) // first of its PID namespace: all others in it go too
	return <-p.exit
}

// ended records an end; true = start it again.
func (c *container) ended(code int) bool {
	c.mu.Lock()
	t := &v1.ContainerStateTerminated{ExitCode: int32(code), Reason: "Completed", FinishedAt: metav1.Now(), ContainerID: c.id()}
	if code != 0 {
		t.Reason = "Error"
		t.Message = c.log.tail()
	}
	if c.state.Running != nil {
		t.StartedAt = c.state.Running.StartedAt
	}
	c.pid, c.ready = 0, false
	c.state = v1.ContainerState{Terminated: t}
	policy := c.p.spec.Spec.RestartPolicy
	again := c.p.ctx.Err() == nil && (code != 0 && policy != v1.RestartPolicyNever || code == 0 && policy == v1.RestartPolicyAlways && !c.isInit)
	if again {
		c.restarts++
		c.last = c.state
		c.state = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: t.Message}}
	}
	c.final = !again && c.p.ctx.Err() == nil
	c.mu.Unlock()
	c.p.changed()
	return again
}

func (c *container) setWaiting(reason, message string) {
	c.mu.Lock()
	c.state = v1.ContainerState{Waiting: &v1.ContainerStateWaiting{Reason: reason, Message: message}}
	c.mu.Unlock()
	c.p.changed()
}

func (c *container) logPath() string { return filepath.Join(c.p.dir, c.spec.Name+".log") }

func (c *container) id() string {
	return fmt.Sprintf("processes://%s-%s-%d", c.p.spec.UID, c.spec.Name, c.restarts)
}

func (c *container) succeeded() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state.Terminated != nil && c.state.Terminated.ExitCode == 0
}

func (c *container) finalState() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.final
}

// status: podWaits is why no container of the pod can start yet.
func (c *container) status(podWaits string) v1.ContainerStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	started := c.state.Running != nil
	s := v1.ContainerStatus{Name: c.spec.Name, Image: c.spec.Image, ImageID: c.spec.Image, Ready: c.ready, Started: &started,
		RestartCount: c.restarts, State: c.state, LastTerminationState: c.last}
	if c.isInit {
		s.Ready = c.state.Terminated != nil && c.state.Terminated.ExitCode == 0
	}
	if started {
		s.ContainerID = c.id()
	}
	if s.State == (v1.ContainerState{}) {
		s.State.Waiting = &v1.ContainerStateWaiting{Reason: "ContainerCreating", Message: podWaits}
	}
	return s
}

// runs: the process to join for exec, and its environment.
func (c *container) runs() (pid int, env []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pid, c.env
}
