package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// ensureInstalled installs the site, which on one that is installed changes nothing.
func (b *bench) ensureInstalled(ctx context.Context) error {
	return b.Lab.Stage(ctx, "installed site", func(ctx context.Context) error {
		_, _, err := b.command(ctx, nil, b.Valtctl, "install", "--site", siteName, "--yes")
		return err
	})
}

// install runs an install that must find nothing to change.
func (b *bench) install(ctx context.Context, site string, env []string) (time.Duration, error) {
	out, took, err := b.command(ctx, env, b.Valtctl, "install", "--site", site, "--yes")
	if err != nil {
		return took, err
	}
	if !strings.Contains(out, "nothing to change") {
		return took, fmt.Errorf("the install that was to be measured changed something: %s", out)
	}
	return took, nil
}

// steps is how many steps the plan has for each host.
func (b *bench) steps(ctx context.Context) (map[string]int, error) {
	out, _, err := b.command(ctx, nil, b.Valtctl, "install", "--site", siteName, "--yes", "-o", "json")
	if err != nil {
		return nil, err
	}
	return parseSteps([]byte(out))
}

func parseSteps(out []byte) (map[string]int, error) {
	var answer struct {
		Result struct {
			Hosts []struct {
				Host  string `json:"host"`
				Steps int    `json:"steps"`
			} `json:"hosts"`
		} `json:"result"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, fmt.Errorf("reading what valtctl printed: %w", err)
	}
	steps := map[string]int{}
	for _, h := range answer.Result.Hosts {
		steps[h.Host] = h.Steps
	}
	return steps, nil
}
