//go:build !race

package bundle

// raceFactor is of the race detector, which is not there.
const raceFactor = 1
