// Package fleet is the hosts of a run as the controller has them: connected to, with their
// agent running and their facts known, and the site's lease held where something is to be
// changed. It asks hosts, has them begin transactions and follows these; what they are to do
// is for the packages above. The hosts do the work by themselves (installer/txn), so losing
// a connection stops nothing.
package fleet
