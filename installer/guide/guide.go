// Package guide leads a person to a site file. stub. stub.
package guide
