package plan

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"

	"ipivs.com/valtctl/repos/problem"
)

// translated lists the attributes of the Compose specification that become part of a
// container. Whatever is not here is refused, so a release cannot ask for what would be
// silently left out.
func translated() []tree.Path {
	var paths []tree.Path
	for _, p := range []string{
		"name", "secrets.*.file", "secrets.*.name", "volumes.*", "networks.*",
		"networks.*.driver", "networks.*.internal", "networks.*.ipam.config.[].subnet",
	} {
		paths = append(paths, tree.Path(p))
	}
	for _, a := range []string{
		"cap_add", "cap_drop", "command", "depends_on.*.condition", "depends_on.*.required",
		"device_cgroup_rules", "devices", "devices.[].source", "devices.[].target", "devices.[].permissions",
		"dns", "entrypoint", "environment.*", "extra_hosts", "extra_hosts.*", "group_add",
		"healthcheck.disable", "healthcheck.interval", "healthcheck.retries", "healthcheck.start_period",
		"healthcheck.test", "healthcheck.timeout", "hostname", "image", "init", "labels.*",
		"logging.driver", "logging.options.*", "mem_limit", "network_mode",
		"networks.*", "networks.*.aliases", "networks.*.ipv4_address", "pids_limit",
		"ports.[].host_ip", "ports.[].mode", "ports.[].protocol", "ports.[].published", "ports.[].target",
		"read_only", "restart", "secrets", "secrets.[].source", "secrets.[].target", "security_opt", "shm_size",
		"stop_grace_period", "stop_signal", "sysctls.*", "tmpfs", "ulimits.*", "ulimits.*.soft", "ulimits.*.hard",
		"user", "volumes.[].bind.create_host_path", "volumes.[].bind.propagation", "volumes.[].read_only",
		"volumes.[].source", "volumes.[].target", "volumes.[].type", "volumes.[].volume.nocopy", "working_dir",
	} {
		paths = append(paths, tree.Path("services.*."+a))
	}
	return paths
}

// refusedValues are values of translated attributes that are not taken.
func refusedValues() []loader.UnsupportedAttributePattern {
	not := func(allowed ...string) func(any) bool {
		return func(value any) bool {
			text, ok := value.(string)
			return !ok || !slices.Contains(allowed, text)
		}
	}
	return []loader.UnsupportedAttributePattern{
		{Path: "name", Detect: not(Project)},
		{Path: "networks.*.driver", Detect: not("bridge")},
		{Path: "services.*.network_mode", Detect: not("host", "none")},
		{Path: "services.*.ports.[].mode", Detect: not("ingress")},
		{Path: "services.*.depends_on.*.condition", Detect: not(types.ServiceConditionStarted, types.ServiceConditionHealthy)},
		{Path: "services.*.cap_add.[]", Detect: func(value any) bool { return strings.EqualFold(fmt.Sprint(value), "ALL") }},
		{Path: "services.*.security_opt.[]", Detect: not("no-new-privileges", "no-new-privileges:true")},
	}
}

// instead says what to write where something common is refused.
func instead(attribute string) string {
	switch path.Base(strings.ReplaceAll(attribute, ".", "/")) {
	case "privileged":
		return "name the capabilities and devices it needs under cap_add and devices"
	case "env_file", "label_file":
		return "write the values into the Compose file"
	case "build":
		return "publish the image with the release"
	case "pid", "ipc", "uts", "userns_mode", "cgroup":
		return "containers of VALT do not share the host's namespaces"
	case "container_name":
		return "containers are named " + Project + "-<service>"
	case "include", "extends":
		return "write the service out; one file is one role"
	case "deploy", "scale":
		return "one service is one container"
	}
	return ""
}

// refusals are the errors about attributes that are not translated.
func (c Compose) refusals(found []loader.UnsupportedAttribute) error {
	var errs []error
	for _, f := range found {
		parts := f.Path.Parts()
		where := string(f.Path)
		if len(parts) > 2 && parts[0] == "services" {
			where = "service " + parts[1] + ": " + strings.Join(parts[2:], ".")
		}
		cause := "is not supported"
		switch f.Value.(type) {
		case string, bool, int, float64:
			cause = fmt.Sprintf("%v is not supported", f.Value)
		}
		errs = append(errs, &problem.Error{Kind: problem.Input, Doing: "reading Compose file", Object: c.File,
			Err: fmt.Errorf("%s: %s", where, cause), Fix: instead(string(f.Path))})
	}
	return errors.Join(errs...)
}

// checkBind refuses folders of the host that would hand it over to the container, and
// sources that mean something else on every machine.
func checkBind(source string) error {
	switch {
	case strings.HasPrefix(source, "~"):
		return fmt.Errorf("%s: a home folder is not the same everywhere; write an absolute path", source)
	case !path.IsAbs(source) || path.Clean(source) != source:
		return fmt.Errorf("%s: write an absolute path that does not climb", source)
	}
	for _, closed := range []string{"/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/var/lib/docker", "/var/lib/containerd", "/var/lib/valtctl", "/run/valtctl", "/etc/docker"} {
		if source == "/" || source == closed || strings.HasPrefix(closed, source+"/") || strings.HasPrefix(source, closed+"/") {
			return fmt.Errorf("%s: this gives the container power over the host (%s)", source, closed)
		}
	}
	return nil
}
