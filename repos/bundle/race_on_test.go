//go:build race

package bundle

// raceFactor is how many times the memory the race detector takes for its own notes, at most
// (go.dev/doc/articles/race_detector, "Runtime Overhead").
const raceFactor = 10
