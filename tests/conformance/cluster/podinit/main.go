// Program podinit is the first process of a pod's container: it joins the pod's network namespace, builds a root of its own
// from the host's programs and the pod's volumes, and becomes the container's program.
//
// It is started in new mount, PID and UTS namespaces, so nothing it mounts is seen outside, and everything goes when it ends.
// Descriptor 3: what to do, as JSON.  Descriptor 4: the network namespace.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Mount is a file or directory of the host seen in the container.
type Mount struct {
	Source, Target string
	ReadOnly       bool
}

// Spec is what the kubelet writes to descriptor 3.
type Spec struct {
	Hostname string
	Root     string // an empty directory to mount on
	Mounts   []Mount
	Files    map[string]string // small files of the root: path -> content
	Argv     []string
	Env      []string
	Dir      string
}

// What a container sees of the host, read-only: enough for dynamically linked programs and a shell.
var hostDirs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ssl", "/etc/ld.so.cache"}

func init() { runtime.LockOSThread() } // setns is per thread, and the thread that calls exec survives it

func run() error {
	var spec Spec
	in := os.NewFile(3, "spec")
	if err := json.NewDecoder(in).Decode(&spec); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	in.Close()
	if err := unix.Setns(4, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("network namespace: %w", err)
	}
	unix.Close(4)
	if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
		return fmt.Errorf("hostname: %w", err)
	}
	if err := buildRoot(&spec); err != nil {
		return err
	}
	if spec.Dir != "" {
		if err := os.Chdir(spec.Dir); err != nil {
			return err
		}
	}
	os.Clearenv()
	for _, kv := range spec.Env {
		for i := range kv {
			if kv[i] == '=' {
				os.Setenv(kv[:i], kv[i+1:])
				break
			}
		}
	}
	program, err := exec.LookPath(spec.Argv[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", program, unix.Exec(program, spec.Argv, spec.Env))
}

func buildRoot(spec *Spec) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("tmpfs", spec.Root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	for _, d := range []string{"proc", "dev", "tmp", "run", "etc", "root", "var"} {
		if err := os.Mkdir(filepath.Join(spec.Root, d), 0o755); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(spec.Root, "tmp"), 0o1777); err != nil {
		return err
	}
	if err := unix.Mount("proc", filepath.Join(spec.Root, "proc"), "proc", 0, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	if err := unix.Mount("/dev", filepath.Join(spec.Root, "dev"), "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("/dev: %w", err)
	}
	for _, d := range hostDirs {
		if err := showHost(spec.Root, d); err != nil {
			return err
		}
	}
	for path, content := range spec.Files {
		if err := os.WriteFile(filepath.Join(spec.Root, path), []byte(content), 0o644); err != nil {
			return err
		}
	}
	for _, m := range spec.Mounts {
		if err := bind(m.Source, filepath.Join(spec.Root, m.Target), m.ReadOnly); err != nil {
			return err
		}
	}
	return enter(spec.Root)
}

// showHost makes a directory of the host appear in the root, or the same symbolic link; what the host lacks is left out.
func showHost(root, path string) error {
	st, err := os.Lstat(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode()&os.ModeSymlink != 0 {
		to, err := os.Readlink(path)
		if err != nil {
			return err
		}
		return os.Symlink(to, filepath.Join(root, path))
	}
	return bind(path, filepath.Join(root, path), true)
}

func bind(source, target string, readOnly bool) error {
	st, err := os.Stat(source)
	if err != nil {
		return err
	}
	if st.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if err = os.MkdirAll(filepath.Dir(target), 0o755); err == nil {
		var f *os.File
		if f, err = os.OpenFile(target, os.O_CREATE, 0o644); err == nil {
			f.Close()
		}
	}
	if err != nil {
		return err
	}
	if err = unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err == nil && readOnly {
		err = unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	if err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	return nil
}

func enter(root string) error {
	old := filepath.Join(root, ".old")
	if err := os.Mkdir(old, 0o700); err != nil {
		return err
	}
	if err := unix.PivotRoot(root, old); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/.old", unix.MNT_DETACH); err != nil {
		return err
	}
	return os.Remove("/.old")
}

func main() {
	err := run()
	fmt.Fprintln(os.Stderr, "podinit:", err)
	os.Exit(127)
}
