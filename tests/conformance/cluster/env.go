package main

import (
	"fmt"
	"regexp"
	"strings"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// environment resolves a container's env.  Not done, because nothing here needs it: the variables of Services.
func (w *pod) environment(c *v1.Container) ([]string, error) {
	env := []string{"PATH=" + defaultPath, "HOSTNAME=" + w.hostname()}
	for _, from := range c.EnvFrom {
		more, err := w.envFrom(from)
		if err != nil {
			return nil, err
		}
		env = append(env, more...)
	}
	for _, e := range c.Env {
		value, err := expand(e.Value, env), error(nil)
		if e.ValueFrom != nil {
			var there bool
			if value, there, err = w.valueFrom(e.ValueFrom); err == nil && !there {
				continue
			}
		}
		if err != nil {
			return nil, fmt.Errorf("env %s: %w", e.Name, err)
		}
		env = append(env, e.Name+"="+value)
	}
	return env, nil
}

func (w *pod) envFrom(from v1.EnvFromSource) ([]string, error) {
	var data map[string][]byte
	var err error
	optional := false
	if r := from.ConfigMapRef; r != nil {
		data, err = w.configMap(r.Name)
		optional = r.Optional != nil && *r.Optional
	} else if r := from.SecretRef; r != nil {
		data, err = w.secret(r.Name)
		optional = r.Optional != nil && *r.Optional
	}
	if apierrors.IsNotFound(err) && optional {
		err = nil
	}
	var env []string
	for k, v := range data {
		env = append(env, from.Prefix+k+"="+string(v))
	}
	return env, err
}

func (w *pod) valueFrom(from *v1.EnvVarSource) (value string, there bool, err error) {
	key := func(data map[string][]byte, err error, key string, optional *bool) (string, bool, error) {
		v, ok := data[key]
		if (ok && err == nil) || (optional != nil && *optional && (err == nil || apierrors.IsNotFound(err))) {
			return string(v), ok, nil
		}
		if err == nil {
			err = fmt.Errorf("no key %q", key)
		}
		return "", false, err
	}
	switch {
	case from.FieldRef != nil:
		value, err = w.field(from.FieldRef.FieldPath)
		return value, true, err
	case from.SecretKeyRef != nil:
		data, err := w.secret(from.SecretKeyRef.Name)
		return key(data, err, from.SecretKeyRef.Key, from.SecretKeyRef.Optional)
	case from.ConfigMapKeyRef != nil:
		data, err := w.configMap(from.ConfigMapKeyRef.Name)
		return key(data, err, from.ConfigMapKeyRef.Key, from.ConfigMapKeyRef.Optional)
	case from.ResourceFieldRef != nil: // no limits here: what a container without them sees
		return "0", true, nil
	}
	return "", false, fmt.Errorf("unknown source")
}

var subscripted = regexp.MustCompile(`^metadata\.(labels|annotations)\['([^']+)'\]$`)

// field resolves a downward API path.
func (w *pod) field(path string) (string, error) {
	if m := subscripted.FindStringSubmatch(path); m != nil {
		if m[1] == "labels" {
			return w.spec.Labels[m[2]], nil
		}
		return w.spec.Annotations[m[2]], nil
	}
	switch path {
	case "metadata.name":
		return w.spec.Name, nil
	case "metadata.namespace":
		return w.spec.Namespace, nil
	case "metadata.uid":
		return string(w.spec.UID), nil
	case "metadata.labels":
		return lines(w.spec.Labels), nil
	case "metadata.annotations":
		return lines(w.spec.Annotations), nil
	case "spec.nodeName":
		return w.spec.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return w.spec.Spec.ServiceAccountName, nil
	case "status.hostIP", "status.hostIPs":
		return w.k.plane.address, nil
	case "status.podIP", "status.podIPs":
		var ips []string
		if w.nic != nil {
			for _, a := range w.nic.addrs {
				ips = append(ips, a.String())
			}
		}
		if path == "status.podIP" && len(ips) > 1 {
			ips = ips[:1]
		}
		return strings.Join(ips, ","), nil
	}
	return "", fmt.Errorf("fieldPath %q is not known here", path)
}

func lines(m map[string]string) string {
	var out []string
	for k, v := range m {
		out = append(out, fmt.Sprintf("%s=%q", k, v))
	}
	return strings.Join(out, "\n")
}

var reference = regexp.MustCompile(`\$\$|\$\([A-Za-z_][-A-Za-z0-9_.]*\)`)

// expand replaces $(NAME) where NAME is set, and $$ by $.
func expand(s string, env []string) string {
	return reference.ReplaceAllStringFunc(s, func(ref string) string {
		if ref == "$$" {
			return "$"
		}
		name := ref[2 : len(ref)-1]
		for i := len(env) - 1; i >= 0; i-- {
			if v, ok := strings.CutPrefix(env[i], name+"="); ok {
				return v
			}
		}
		return ref
	})
}

func expandAll(args, env []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = expand(a, env)
	}
	return out
}

func (w *pod) hostname() string {
	if w.spec.Spec.Hostname != "" {
		return w.spec.Spec.Hostname
	}
	return w.spec.Name[:min(len(w.spec.Name), 63)]
}

func (w *pod) configMap(name string) (map[string][]byte, error) {
	o, err := w.k.client.CoreV1().ConfigMaps(w.spec.Namespace).Get(w.ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{}
	for k, v := range o.Data {
		data[k] = []byte(v)
	}
	for k, v := range o.BinaryData {
		data[k] = v
	}
	return data, nil
}

func (w *pod) secret(name string) (map[string][]byte, error) {
	o, err := w.k.client.CoreV1().Secrets(w.spec.Namespace).Get(w.ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return o.Data, nil
}
