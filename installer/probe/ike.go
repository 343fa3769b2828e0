package probe

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
)

// natPort is where IKE comes after four zero bytes, which tell it from ESP (RFC 3948,
// section 2.2).
const natPort = 4500

// askIKE begins a security association that is never gone on with: any answer under our
// SPI proves the path, a refusal too.
func (q *question) askIKE(ctx context.Context) {
	to, ok := q.firstAddress(ctx)
	if !ok {
		return
	}
	spi := [8]byte([]byte(rand.Text())[:8])
	request, err := ikeInit(spi)
	if err != nil {
		q.out.Verdict, q.out.Cause = Unknown, err.Error()
		return
	}
	var marker []byte
	if to.Port() == natPort {
		marker = make([]byte, 4)
	}
	r := q.exchange(ctx, to, func(conn net.Conn) error {
		q.out.Local = conn.LocalAddr().String()
		return q.env.repeat(ctx, conn, append(marker, request...), func(answer []byte) bool {
			said, ok := readIKE(bytes.TrimPrefix(answer, marker), spi)
			if ok {
				q.out.Evidence = append(q.out.Evidence, "answered IKE_SA_INIT: "+said)
			}
			return ok
		})
	})
	if r.silence {
		r.verdict, r.lost = Unknown, ""
		r.cause = "no answer, which proves nothing: an IKE peer may keep silent to addresses that it does not know"
	}
	q.ruled(r)
}

// Payload types and numbers of IKEv2 (RFC 7296, sections 3.2 and 3.3.2; IANA, "IKEv2
// Parameters").
const (
	ikeHeader         = 28
	ikePayloadHeader  = 4
	ikeSA             = 33
	ikeKE             = 34
	ikeNonce          = 40
	ikeNotify         = 41
	ikeVersion        = 0x20
	ikeExchangeInit   = 34
	ikeFlagInitiator  = 0x08
	ikeGroupP256      = 19
	ikeNonceLen       = 32
	ikeProtocol       = 1
	ikeTransformEncr  = 1
	ikeTransformPRF   = 2
	ikeTransformInteg = 3
	ikeTransformDH    = 4
)

// ikeInit is an IKE_SA_INIT request (RFC 7296, section 1.2): AES-256-CBC, SHA2-256 and
// the 256-bit random ECP group, which every current peer knows, with a real public key.
func ikeInit(spi [8]byte) ([]byte, error) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key for IKE: %w", err)
	}
	point := key.PublicKey().Bytes()[1:] // without the octet for "uncompressed" (RFC 5903, section 7)
	nonce := make([]byte, ikeNonceLen)
	rand.Read(nonce)
	body := ikePayload(ikeKE, ikeProposal())
	body = append(body, ikePayload(ikeNonce, append([]byte{0, ikeGroupP256, 0, 0}, point...))...)
	body = append(body, ikePayload(0, nonce)...)

	p := append(spi[:], make([]byte, 8)...) // the responder's SPI is not known yet
	p = append(p, ikeSA, ikeVersion, ikeExchangeInit, ikeFlagInitiator, 0, 0, 0, 0)
	p = binary.BigEndian.AppendUint32(p, uint32(ikeHeader+len(body)))
	return append(p, body...), nil
}

// ikePayload puts the generic header before a payload (RFC 7296, section 3.2).
func ikePayload(next byte, content []byte) []byte {
	p := binary.BigEndian.AppendUint16([]byte{next, 0}, uint16(ikePayloadHeader+len(content)))
	return append(p, content...)
}

// ikeProposal is one proposal of four transforms (RFC 7296, sections 3.3.1 and 3.3.2).
func ikeProposal() []byte {
	const more, last = 3, 0
	transforms := [][]byte{
		{more, 0, 0, 12, ikeTransformEncr, 0, 0, 12, 0x80, 0x0e, 1, 0}, // AES-CBC, 256 bits
		{more, 0, 0, 8, ikeTransformPRF, 0, 0, 5},                      // HMAC-SHA2-256
		{more, 0, 0, 8, ikeTransformInteg, 0, 0, 12},                   // HMAC-SHA2-256-128
		{last, 0, 0, 8, ikeTransformDH, 0, 0, ikeGroupP256},
	}
	all := bytes.Join(transforms, nil)
	p := binary.BigEndian.AppendUint16([]byte{last, 0}, uint16(8+len(all)))
	return append(append(p, 1, ikeProtocol, 0, byte(len(transforms))), all...)
}

// Notify types that answer an IKE_SA_INIT (RFC 7296, section 3.10.1).
func ikeNotifyName(t uint16) string {
	names := map[uint16]string{1: "UNSUPPORTED_CRITICAL_PAYLOAD", 5: "INVALID_MAJOR_VERSION", 7: "INVALID_SYNTAX",
		14: "NO_PROPOSAL_CHOSEN", 17: "INVALID_KE_PAYLOAD", 24: "AUTHENTICATION_FAILED", 16388: "NAT_DETECTION_SOURCE_IP",
		16389: "NAT_DETECTION_DESTINATION_IP", 16390: "COOKIE", 16404: "MULTIPLE_AUTH_SUPPORTED", 16406: "REDIRECT_SUPPORTED",
		16418: "CHILDLESS_IKEV2_SUPPORTED", 16430: "IKEV2_FRAGMENTATION_SUPPORTED", 16431: "SIGNATURE_HASH_ALGORITHMS"}
	if name, ok := names[t]; ok {
		return name
	}
	return fmt.Sprintf("notify %d", t)
}

// readIKE says what an answer contains; false if it is none to our request.
func readIKE(p []byte, spi [8]byte) (string, bool) {
	if len(p) < ikeHeader || !bytes.Equal(p[:8], spi[:]) || p[19]&ikeFlagInitiator != 0 {
		return "", false
	}
	var said []string
	next, rest := p[16], p[ikeHeader:]
	for next != 0 && len(rest) >= ikePayloadHeader {
		size := int(binary.BigEndian.Uint16(rest[2:]))
		if size < ikePayloadHeader || size > len(rest) {
			break
		}
		switch {
		case next == ikeSA:
			said = append(said, "a security association")
		case next == ikeNotify && size >= 8:
			said = append(said, ikeNotifyName(binary.BigEndian.Uint16(rest[6:])))
		}
		next, rest = rest[0], rest[size:]
	}
	if len(said) == 0 {
		return fmt.Sprintf("%d bytes", len(p)), true
	}
	return strings.Join(said, ", "), true
}
