package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// mount is podinit's Mount.
type mount struct {
	Source, Target string
	ReadOnly       bool
}

func (w *pod) volumeDir(name string) string { return filepath.Join(w.dir, "volumes", name) }

// mountVolumes writes every volume's files; an error says what is missing, and the caller tries again.  Contents are as they
// were when the pod started: a later edit of a Secret does not reach a running pod.
func (w *pod) mountVolumes() error {
	for i := range w.spec.Spec.Volumes {
		v := &w.spec.Spec.Volumes[i]
		if err := w.fill(v, w.volumeDir(v.Name)); err != nil {
			return fmt.Errorf("volume %s: %w", v.Name, err)
		}
	}
	return nil
}

func (w *pod) fill(v *v1.Volume, dir string) error {
	if v.HostPath != nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	switch {
	case v.EmptyDir != nil:
		return os.Chmod(dir, 0o777)
	case v.Secret != nil:
		data, err := w.secret(v.Secret.SecretName)
		return write(dir, data, err, v.Secret.Items, v.Secret.Optional, v.Secret.DefaultMode)
	case v.ConfigMap != nil:
		data, err := w.configMap(v.ConfigMap.Name)
		return write(dir, data, err, v.ConfigMap.Items, v.ConfigMap.Optional, v.ConfigMap.DefaultMode)
	case v.DownwardAPI != nil:
		return w.writeFields(dir, v.DownwardAPI.Items, v.DownwardAPI.DefaultMode)
	case v.Projected != nil:
		for i := range v.Projected.Sources {
			if err := w.project(dir, &v.Projected.Sources[i], v.Projected.DefaultMode); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("this kind of volume is not known here")
}

func (w *pod) project(dir string, s *v1.VolumeProjection, mode *int32) error {
	switch {
	case s.Secret != nil:
		data, err := w.secret(s.Secret.Name)
		return write(dir, data, err, s.Secret.Items, s.Secret.Optional, mode)
	case s.ConfigMap != nil:
		data, err := w.configMap(s.ConfigMap.Name)
		return write(dir, data, err, s.ConfigMap.Items, s.ConfigMap.Optional, mode)
	case s.DownwardAPI != nil:
		return w.writeFields(dir, s.DownwardAPI.Items, mode)
	case s.ServiceAccountToken != nil:
		request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			ExpirationSeconds: s.ServiceAccountToken.ExpirationSeconds,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: w.spec.Name, UID: w.spec.UID}}}
		if a := s.ServiceAccountToken.Audience; a != "" {
			request.Spec.Audiences = []string{a}
		}
		t, err := w.k.client.CoreV1().ServiceAccounts(w.spec.Namespace).CreateToken(w.ctx, w.spec.Spec.ServiceAccountName, request, metav1.CreateOptions{})
		if err != nil {
			return err
		}
		return writeFile(dir, s.ServiceAccountToken.Path, []byte(t.Status.Token), nil, mode)
	}
	return fmt.Errorf("this kind of projection is not known here")
}

// write puts the keys of a Secret or ConfigMap into files.
func write(dir string, data map[string][]byte, err error, items []v1.KeyToPath, optional *bool, mode *int32) error {
	may := optional != nil && *optional
	if err != nil {
		if may && apierrors.IsNotFound(err) {
			return nil
		}
		return err
	}
	if len(items) == 0 {
		for k, v := range data {
			if err := writeFile(dir, k, v, nil, mode); err != nil {
				return err
			}
		}
		return nil
	}
	for _, i := range items {
		v, ok := data[i.Key]
		if !ok && !may {
			return fmt.Errorf("no key %q", i.Key)
		}
		if err := writeFile(dir, i.Path, v, i.Mode, mode); ok && err != nil {
			return err
		}
	}
	return nil
}

func (w *pod) writeFields(dir string, items []v1.DownwardAPIVolumeFile, mode *int32) error {
	for _, i := range items {
		text := "0"
		if i.FieldRef != nil {
			var err error
			if text, err = w.field(i.FieldRef.FieldPath); err != nil {
				return err
			}
		}
		if err := writeFile(dir, i.Path, []byte(text), i.Mode, mode); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(dir, path string, content []byte, modes ...*int32) error {
	mode := os.FileMode(0o644)
	for _, m := range modes {
		if m != nil {
			mode = os.FileMode(*m)
			break
		}
	}
	full := filepath.Join(dir, path)
	if !strings.HasPrefix(full, dir+"/") {
		return fmt.Errorf("path %q leaves the volume", path)
	}
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(full, content, mode); err != nil {
		return err
	}
	return os.Chmod(full, mode)
}

// mounts: a container's volumeMounts as directories and files of the host.
func (w *pod) mounts(c *v1.Container) ([]mount, error) {
	var out []mount
	for _, m := range c.VolumeMounts {
		source, readOnly := "", m.ReadOnly
		for _, v := range w.spec.Spec.Volumes {
			if v.Name != m.Name {
				continue
			}
			source = w.volumeDir(v.Name)
			if v.HostPath != nil {
				source = v.HostPath.Path
			} else if v.EmptyDir == nil {
				readOnly = true
			}
		}
		if source == "" {
			return nil, fmt.Errorf("volumeMount %s names no volume", m.Name)
		}
		if m.SubPath != "" {
			source = filepath.Join(source, m.SubPath)
		}
		out = append(out, mount{source, m.MountPath, readOnly})
	}
	return out, nil
}

// rootFiles: what every container has in /etc.
func (w *pod) rootFiles() map[string]string {
	hosts := "127.0.0.1 localhost\n::1 localhost\n"
	for _, a := range w.nic.addrs {
		hosts += a.String() + " " + w.hostname() + "\n"
	}
	return map[string]string{
		"/etc/hosts": hosts, "/etc/hostname": w.hostname() + "\n", "/etc/resolv.conf": "",
		"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "/etc/group": "root:x:0:\n",
	}
}
