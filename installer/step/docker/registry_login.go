package docker

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"ipivs.com/valtctl/installer/step"
)

// RegistryLoginParams is the login that `docker pull` by a person on the host uses. The
// image step sends its own.
type RegistryLoginParams struct {
	Registry       string `json:"registry"` // "docker.ipivs.com", with the endpoint put in
	Username       string `json:"username"`
	PasswordSecret string `json:"password_secret"`
}

// KindRegistryLogin names what RegistryLoginKind makes.
const KindRegistryLogin step.KindName = "registry-login"

// RegistryLoginKind keeps a login in root's Docker configuration, closed to others.
func RegistryLoginKind() step.Kind {
	return step.KindOf(KindRegistryLogin, step.Reversible, func(p RegistryLoginParams) (step.Step, error) {
		if p.Registry == "" || p.Username == "" || p.PasswordSecret == "" {
			return nil, fmt.Errorf("checking the login at %q: a registry, a user name and a password are needed", p.Registry)
		}
		return &registryLogin{p}, nil
	})
}

type registryLogin struct{ RegistryLoginParams }

// Docker's client keeps its logins here (docker login, config.json).
const (
	loginDir  = "/root/.docker"
	loginFile = loginDir + "/config.json"
)

func (r *registryLogin) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	was, want, err := r.files(h)
	if err != nil {
		return step.Finding{}, err
	}
	text := step.SecretDiff(loginFile, was, want)
	if text != "" {
		text += fmt.Sprintf("+ login of %s at %s\n", r.Username, r.Registry)
	}
	for _, f := range []struct {
		path string
		mode os.FileMode
	}{{loginDir, 0o700}, {loginFile, 0o600}} {
		attrs, err := step.OwnerDiff(h, f.path, f.mode, 0, 0)
		if err != nil {
			return step.Finding{}, err
		}
		text += attrs
	}
	return step.Finding{Change: text != "", Diff: text, Disrupts: step.Nothing}, nil
}

func (r *registryLogin) Apply(_ context.Context, h *step.Machine) error {
	_, want, err := r.files(h)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(h.Path(loginDir), 0o700); err != nil {
		return fmt.Errorf("making %s: %w", loginDir, err)
	}
	if err := os.Chmod(h.Path(loginDir), 0o700); err != nil {
		return fmt.Errorf("closing %s to others: %w", loginDir, err)
	}
	if err := os.Chown(h.Path(loginDir), 0, 0); err != nil {
		return fmt.Errorf("giving %s to root: %w", loginDir, err)
	}
	return step.WriteFile(h, loginFile, want, step.Owner{Mode: 0o600, UID: 0, GID: 0})
}

// Undo puts back the login.
func (r *registryLogin) Undo(_ context.Context, h *step.Machine) error {
	_, err := step.PutBack(h)
	return err
}

// files is the configuration as it is and as it shall be.
func (r *registryLogin) files(h *step.Machine) (was, want []byte, err error) {
	password, err := h.Secret(r.PasswordSecret)
	if err != nil {
		return nil, nil, fmt.Errorf("logging in at %s: %w", r.Registry, err)
	}
	was, err = step.ReadIfThere(h.Path(loginFile))
	if err != nil {
		return nil, nil, err
	}
	want, err = setLogin(r.Registry, r.Username, strings.TrimRight(string(password), "\r\n"))(was)
	if err != nil {
		return nil, nil, fmt.Errorf("editing %s: %w", loginFile, err)
	}
	return was, want, nil
}

// setLogin edits Docker's config.json: one registry's login is set and all else stays. What
// is right already comes back byte for byte.
func setLogin(registry, username, password string) func([]byte) ([]byte, error) {
	return func(content []byte) ([]byte, error) {
		config, err := jsonObject(content)
		if err != nil {
			return nil, err
		}
		auths, err := jsonObject(config["auths"])
		if err != nil {
			return nil, fmt.Errorf("reading auths: %w", err)
		}
		auth := base64.StdEncoding.EncodeToString([]byte(username + ":" + password))
		var was struct {
			Auth string `json:"auth"`
		}
		// An entry that does not parse is not the wanted one.
		if json.Unmarshal(auths[registry], &was) == nil && was.Auth == auth {
			return content, nil
		}
		if auths[registry], err = json.Marshal(map[string]string{"auth": auth}); err != nil {
			return nil, fmt.Errorf("writing the login: %w", err)
		}
		if config["auths"], err = json.Marshal(auths); err != nil {
			return nil, fmt.Errorf("writing auths: %w", err)
		}
		return jsonText(config)
	}
}

// jsonObject reads a JSON object, keeping every value's own text. Nothing reads as an
// empty object.
func jsonObject(content []byte) (map[string]json.RawMessage, error) {
	object := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(content)) == 0 {
		return object, nil
	}
	if err := json.Unmarshal(content, &object); err != nil {
		return nil, fmt.Errorf("reading JSON: %w", err)
	}
	if object == nil {
		object = map[string]json.RawMessage{}
	}
	return object, nil
}

// jsonText writes an object as Docker writes its files: sorted, one tab deep.
func jsonText(object map[string]json.RawMessage) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	e.SetIndent("", "\t")
	if err := e.Encode(object); err != nil {
		return nil, fmt.Errorf("writing JSON: %w", err)
	}
	return text.Bytes(), nil
}
