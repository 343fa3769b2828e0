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

	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release/allowed"
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
		{Path: "services.*.ports.[].mode", Detect: not("ingress")},
		{Path: "services.*.depends_on.*.condition", Detect: not(types.ServiceConditionStarted, types.ServiceConditionHealthy)},
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
	return "leave it out: it is none of what a container of VALT may have"
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
		var at []any
		for _, part := range parts {
			at = append(at, part)
		}
		errs = append(errs, &problem.Error{Kind: problem.Input, Doing: "reading Compose file", Object: c.at(at...),
			Err: fmt.Errorf("%s: %s", where, cause), Fix: instead(string(f.Path))})
	}
	return errors.Join(errs...)
}

// judge refuses what no release may ask for of a host. What runs there is judged by the same code
// (docker.ContainerSpec.Refusals); here each refusal gets the line that asks for it.
func (c Compose) judge(project *types.Project, s types.ServiceConfig, spec docker.ContainerSpec) error {
	var errs []error
	for _, secret := range s.Secrets {
		file := project.Secrets[secret.Source].File
		if err := c.Own.Path(allowed.Secret, file); err != nil {
			errs = append(errs, c.refuseAt(fmt.Sprintf("service %s: secrets: %s", s.Name, secret.Source), err, "secrets", secret.Source, "file"))
		}
	}
	for _, r := range spec.Refusals(c.Own) {
		if r.Attribute == "volumes" && r.Index >= len(s.Volumes) {
			if r.Key != "target" {
				continue // its file was judged as a secret's
			}
			r.Attribute, r.Index = "secrets", r.Index-len(s.Volumes)
		}
		var further []any
		if r.Index >= 0 {
			further = append(further, r.Index)
		}
		if r.Key != "" {
			further = append(further, r.Key)
		}
		errs = append(errs, c.refuse(s.Name, r.Attribute, r.Err, further...))
	}
	return errors.Join(errs...)
}
