package remote

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
)

// AgentFromFile is the agent whose binary is the file at path. It reads the file once;
// the result serves any number of hosts, concurrently too.
func AgentFromFile(path string) (Agent, error) {
	file, err := os.Open(path)
	if err != nil {
		return Agent{}, fmt.Errorf("opening the agent's binary: %w", err)
	}
	defer file.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	if err != nil {
		return Agent{}, fmt.Errorf("reading the agent's binary: %w", err)
	}
	return Agent{
		Hash: hex.EncodeToString(sum.Sum(nil)), Size: size, Path: path,
		Open: func() (io.ReadSeekCloser, error) { return os.Open(path) },
	}, nil
}
