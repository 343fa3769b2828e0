// Package certificate reads a site's certificate and its key as authorities and Windows hand
// them over: PEM in any order, DER, PKCS#12, and keys under a passphrase. It exists so that
// what is installed is always the chain in its order and a plain key, and so that a chain
// that phones would refuse is named before it is installed. It reads no file, asks nobody by
// itself and judges neither names nor dates, which installer/step/files does.
package certificate
