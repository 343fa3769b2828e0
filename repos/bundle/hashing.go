package bundle

import (
	"encoding/hex"
	"hash"
)

// hashing hashes what is handed to it beside the work of whoever reads and writes it, so
// that a second processor has something to do. It is used by one goroutine.
type hashing struct {
	sum  hash.Hash
	todo chan []byte
	free chan []byte
	done chan struct{}
}

// buffers are how many it has under way at once.
const buffers = 4

// newHashing hashes content of a size after what sum has already.
func newHashing(sum hash.Hash, size int64) *hashing {
	h := &hashing{sum: sum, todo: make(chan []byte, buffers), free: make(chan []byte, buffers), done: make(chan struct{})}
	for range buffers {
		h.free <- make([]byte, min(chunk, size))
	}
	go func() {
		defer close(h.done)
		for p := range h.todo {
			h.sum.Write(p)
			h.free <- p[:cap(p)]
		}
	}()
	return h
}

// buffer is one to fill and to hand to write.
func (h *hashing) buffer() []byte { return <-h.free }

// write hashes part of a buffer, which is not the caller's any more.
func (h *hashing) write(p []byte) { h.todo <- p }

// end waits for the last byte, and is the digest of all. Nothing is written after it.
func (h *hashing) end() string {
	close(h.todo)
	<-h.done
	return "sha256:" + hex.EncodeToString(h.sum.Sum(nil))
}
