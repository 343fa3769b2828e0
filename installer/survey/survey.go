// Package survey asks one host what a check wants to know beyond its facts: who listens
// where, whether apt and dpkg are well, how fast the disk writes, what expires. Unlike
// facts it may take seconds and run programs; it changes nothing and leaves nothing. What
// the answers mean for a site is for installer/check.
package survey

// Request says what is wanted.
type Request struct{}

// Reply is what the host answered.
type Reply struct{}
