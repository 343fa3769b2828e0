package facts

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticksPerSecond is the kernel's unit in /proc/PID/stat, the same on every
// architecture that Ubuntu runs on (USER_HZ, proc_pid_stat(5)).
const ticksPerSecond = 100

// BootID names one run of a host: the kernel's boot_id and the start time of process 1,
// in ticks. The second tells a container's restarts apart, whose kernel stays.
func BootID(root string) (string, error) {
	id, err := os.ReadFile(filepath.Join(root, "/proc/sys/kernel/random/boot_id"))
	if err != nil {
		return "", fmt.Errorf("reading the boot id: %w", err)
	}
	started, err := started(root)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(string(id)) + "-" + strconv.FormatInt(started, 10), nil
}

// started is when process 1 started, in ticks since the kernel did.
func started(root string) (int64, error) {
	stat, err := os.ReadFile(filepath.Join(root, "/proc/1/stat"))
	if err != nil {
		return 0, fmt.Errorf("reading when the host started: %w", err)
	}
	// The name in parentheses may hold anything; field 22 is the 20th after it.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, errors.New("reading when the host started: /proc/1/stat is too short")
	}
	ticks, err := strconv.ParseInt(string(fields[19]), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading when the host started: %w", err)
	}
	return ticks, nil
}

// uptime is how long process 1 runs, in seconds.
func (h *host) uptime() float64 {
	ticks, err := started(h.root)
	if err != nil {
		return 0 // BootID has said so
	}
	first, _, _ := strings.Cut(h.line("/proc/uptime"), " ")
	up, _ := strconv.ParseFloat(first, 64)
	return max(0, up-float64(ticks)/ticksPerSecond)
}
