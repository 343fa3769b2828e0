package facts

import "strings"

// virtualization says what the host runs in, in systemd-detect-virt(1)'s words, from the
// files that it reads too: "none" where nothing tells, although some hypervisors show
// only to the CPUID instruction.
func (h *host) virtualization() string {
	if word := h.line("/run/systemd/container"); word != "" {
		return word
	}
	if h.exists("/.dockerenv") {
		return "docker"
	}
	for _, file := range []string{"product_name", "sys_vendor", "board_vendor", "bios_vendor", "product_version"} {
		text := h.line("/sys/class/dmi/id/" + file)
		for _, known := range dmiWords() {
			if strings.HasPrefix(text, known.prefix) {
				return known.word
			}
		}
	}
	return "none"
}

type dmiWord struct{ prefix, word string }

// dmiWords are what hypervisors write into DMI (systemd, src/basic/virt.c).
func dmiWords() []dmiWord {
	return []dmiWord{
		{"KVM", "kvm"},
		{"OpenStack", "kvm"},
		{"KubeVirt", "kvm"},
		{"Amazon EC2", "amazon"},
		{"QEMU", "qemu"},
		{"VMware", "vmware"},
		{"VMW", "vmware"},
		{"innotek GmbH", "oracle"},
		{"VirtualBox", "oracle"},
		{"Oracle Corporation", "oracle"},
		{"Xen", "xen"},
		{"Bochs", "bochs"},
		{"Parallels", "parallels"},
		{"BHYVE", "bhyve"},
		{"Hyper-V", "microsoft"},
		{"Virtual Machine", "microsoft"},
		{"Google Compute Engine", "google"},
	}
}
