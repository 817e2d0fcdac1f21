package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Children die with us: PR_SET_PDEATHSIG is tied to the thread that forked, so one thread, which never ends, forks them all.
var forks = make(chan func())

func init() {
	go func() {
		runtime.LockOSThread()
		for f := range forks {
			f()
		}
	}()
}

// spawn starts cmd in a process group of its own; it is killed when this process ends, however it ends.
func spawn(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true
	err := make(chan error)
	forks <- func() { err <- cmd.Start() }
	return <-err
}

// signalGroup sends sig to the child and to whatever it started.
func signalGroup(pid int, sig syscall.Signal) {
	if err := syscall.Kill(-pid, sig); err != nil {
		_ = syscall.Kill(pid, sig) // not yet leader of its group
	}
}

// service is a control plane process: started again when it ends without being asked to, as a node's kubelet does for
// static pods.
type service struct {
	name    string
	argv    []string
	logPath string

	mu       sync.Mutex
	pid      int
	stopping bool
	starts   int
	ended    chan struct{} // closed when it ended and will not be started again
}

func startService(name, logPath string, argv ...string) (*service, error) {
	s := &service{name: name, argv: argv, logPath: logPath, ended: make(chan struct{})}
	cmd, err := s.launch()
	if err != nil {
		return nil, err
	}
	go s.keep(cmd)
	return s, nil
}

func (s *service) launch() (*exec.Cmd, error) {
	log, err := os.OpenFile(s.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(s.argv[0], s.argv[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopping {
		return nil, errors.New("stopping")
	}
	if err := spawn(cmd); err != nil {
		return nil, fmt.Errorf("%s: %w", s.name, err)
	}
	s.pid = cmd.Process.Pid
	s.starts++
	return cmd, nil
}

func (s *service) keep(cmd *exec.Cmd) {
	defer close(s.ended)
	for {
		err := cmd.Wait()
		s.mu.Lock()
		s.pid = 0
		stopping, starts := s.stopping, s.starts
		s.mu.Unlock()
		if stopping {
			return
		}
		wait := min(time.Duration(starts)*200*time.Millisecond, 5*time.Second)
		logf("process=%s event=ended error=%q restart_in=%s", s.name, fmt.Sprint(err), wait)
		time.Sleep(wait)
		if cmd, err = s.launch(); err != nil {
			if err.Error() != "stopping" {
				logf("process=%s event=not_started error=%q", s.name, err)
			}
			return
		}
	}
}

// stop asks, then insists.
func (s *service) stop(grace time.Duration) {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.stopping = true
	pid := s.pid
	s.mu.Unlock()
	if pid == 0 {
		return
	}
	signalGroup(pid, syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(grace):
		signalGroup(pid, syscall.SIGKILL)
		<-s.ended
	}
}

func (s *service) alive() (pid, starts int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pid, s.starts
}

// logTail is what to show when the process is the reason of a failure.
func (s *service) logTail() string {
	b, err := os.ReadFile(s.logPath)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-8):], "\n")
}
