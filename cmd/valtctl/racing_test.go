//go:build race

package main

// racing says that the race detector looks: promptui and readline read a line's cursor while it is written, and the
// tests of what they draw run without it.
const racing = true
