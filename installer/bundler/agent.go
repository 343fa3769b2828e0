package bundler

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
)

// platform is what hosts are: the one that VALT is published for.
const platform = "linux/amd64"

// agentFile is where this program is in a bundle.
const agentFile = "agent/linux-amd64/valtctl"

// maxAgent caps this program, in bytes.
const maxAgent = 512 << 20

// agent adds this program, unless every host has the very same already.
func (p *packing) agent(context.Context) error {
	content, err := readAgent(p.Agent)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	name := hex.EncodeToString(sum[:])
	for _, f := range p.Have {
		if !slices.Contains(f.Agents, name) {
			p.file(agentFile, content, bundle.MediaFile)
			return nil
		}
	}
	if len(p.Have) == 0 {
		p.file(agentFile, content, bundle.MediaFile)
		return nil
	}
	digest := "sha256:" + name
	p.Contents.Files = append(p.Contents.Files, bundle.File{Path: agentFile, Digest: digest})
	p.Contents.Left = append(p.Contents.Left, bundle.Blob{Digest: digest, Size: int64(len(content)), MediaType: bundle.MediaFile})
	return nil
}

// readAgent reads this program, which must be one that hosts can run: on other machines
// than Linux the file that runs is not.
func readAgent(name string) ([]byte, error) {
	refuse := func(err error) error {
		return &problem.Error{Kind: problem.Input, Doing: "packing this program for the hosts", Object: name, Err: err,
			Fix: "name the file of the same version for " + platform + ": --agent FILE"}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, refuse(errors.Unwrap(err))
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxAgent+1))
	if err != nil {
		return nil, refuse(err)
	}
	if len(content) > maxAgent {
		return nil, refuse(fmt.Errorf("it has more than %d bytes", maxAgent))
	}
	program, err := elf.NewFile(bytes.NewReader(content))
	if err != nil || program.Machine != elf.EM_X86_64 || program.Type != elf.ET_EXEC && program.Type != elf.ET_DYN {
		return nil, refuse(errors.New("it is no program for " + platform))
	}
	return content, nil
}
