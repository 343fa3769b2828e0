package docker

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
)

// daemonEdit sets our keys of Docker's daemon.json and keeps those of others. What is right
// already comes back byte for byte. Keys and their meaning: docs.docker.com, dockerd, "Daemon
// configuration file".
func (p EngineConfigParams) daemonEdit() func([]byte) ([]byte, error) {
	return func(content []byte) ([]byte, error) {
		config, err := jsonObject(content)
		if err != nil {
			return nil, err
		}
		wanted, err := p.daemonKeys()
		if err != nil {
			return nil, err
		}
		changed := content == nil
		for key, value := range wanted {
			same, err := setKey(config, key, value)
			if err != nil {
				return nil, fmt.Errorf("setting %s: %w", key, err)
			}
			changed = changed || !same
		}
		if !changed {
			return content, nil
		}
		return jsonText(config)
	}
}

// setKey sets one key and says whether it had that value, however it was written.
func setKey(config map[string]json.RawMessage, key string, value any) (same bool, err error) {
	text, err := json.Marshal(value)
	if err != nil {
		return false, err
	}
	var was, want any
	if err := json.Unmarshal(text, &want); err != nil {
		return false, err
	}
	if old, ok := config[key]; ok && json.Unmarshal(old, &was) == nil && reflect.DeepEqual(was, want) {
		return true, nil
	}
	config[key] = text
	return false, nil
}

// daemonKeys are the keys that are ours. Log options of a driver are replaced as a whole:
// options of one driver are errors to another.
func (p EngineConfigParams) daemonKeys() (map[string]any, error) {
	keys := map[string]any{
		"live-restore": p.LiveRestore,
		"log-driver":   "json-file",
		"log-opts":     map[string]string{"max-size": p.LogMaxSize, "max-file": fmt.Sprint(p.LogMaxFile)},
	}
	if p.AddressPool == "" {
		return keys, nil
	}
	bip, size, err := splitPool(p.AddressPool)
	if err != nil {
		return nil, err
	}
	keys["bip"] = bip
	keys["default-address-pools"] = []map[string]any{{"base": p.AddressPool, "size": size}}
	return keys, nil
}

// splitPool divides the pool into networks of /24, or sixteen of them where it is smaller
// than a /20. The first is docker0's, whose own address is its first; the engine leaves out
// of the pool what is taken.
func splitPool(pool string) (bip string, size int, err error) {
	prefix, err := netip.ParsePrefix(pool)
	if err != nil {
		return "", 0, fmt.Errorf("reading the address pool: %w", err)
	}
	if !prefix.Addr().Is4() || prefix != prefix.Masked() || prefix.Bits() > 24 {
		return "", 0, fmt.Errorf("reading the address pool %s: it must be an IPv4 network of at least 256 addresses", pool)
	}
	size = max(24, prefix.Bits()+4)
	return fmt.Sprintf("%s/%d", prefix.Addr().Next(), size), size, nil
}

// proxyUnit is a drop-in of docker.service. It works with every engine, whereas daemon.json
// knows a proxy from 23.0 on and older ones refuse to start with it.
func (p EngineConfigParams) proxyUnit() string {
	if p.Proxy == "" {
		return ""
	}
	quote := func(name, value string) string {
		// systemd.exec(5): % begins a specifier, and the quotes end with ".
		value = strings.NewReplacer(`%`, `%%`, `\`, `\\`, `"`, `\"`).Replace(value)
		return `Environment="` + name + "=" + value + "\"\n"
	}
	return "[Service]\n" + quote("HTTP_PROXY", p.Proxy) + quote("HTTPS_PROXY", p.Proxy) + quote("NO_PROXY", p.NoProxy)
}
