package probe

import (
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	// watchBuffer is the socket's, in bytes: some ten thousand packets, which a burst of
	// hundreds of probes does not fill.
	watchBuffer = 8 << 20
	// watchLength is what is wanted of a packet: an IP header with options, ICMP's, and
	// those of the packet quoted in it.
	watchLength = 60 + icmpHeader + 60 + icmpHeader
)

// packets is a packet(7) socket over all interfaces of the machine. It needs CAP_NET_RAW.
type packets struct {
	file *os.File
	raw  syscall.RawConn
	see  func(s sighting, outgoing bool)
	done chan struct{}

	mu   sync.Mutex // one reader at a time: whoever has drained has seen everything
	lost uint32
	buf  [watchLength]byte
}

// openPackets hands every packet that the filter passes to see, from one goroutine at a time.
func openPackets(see func(sighting, bool)) (*packets, error) {
	// Without a protocol nothing is received before the filter is there.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("watching packets: %w", err)
	}
	if err := setUpPackets(fd); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watching packets: %w", err)
	}
	p := &packets{file: os.NewFile(uintptr(fd), "packets"), see: see, done: make(chan struct{})}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		p.file.Close()
		return nil, fmt.Errorf("watching packets: %w", err)
	}
	go func() {
		defer close(p.done)
		_ = p.raw.Read(func(fd uintptr) bool { p.read(int(fd)); return false }) // until it is closed
	}()
	return p, nil
}

func setUpPackets(fd int) error {
	program, err := bpf.Assemble(watchFilter())
	if err != nil {
		return fmt.Errorf("assembling the filter: %w", err)
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
		return fmt.Errorf("setting the filter: %w", err)
	}
	// More than the machine's limit needs CAP_NET_ADMIN; without it the limit will do.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, watchBuffer)
	}
	// Only a socket for all protocols is shown what goes out (packet(7), ETH_P_ALL).
	const all = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in network byte order
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all & 0xffff}); err != nil {
		return fmt.Errorf("binding: %w", err)
	}
	return nil
}

// watchFilter passes IPv4 alone: TCP with SYN or RST, and ICMP destination unreachable.
// A packet begins at its IP header, since the socket is of type SOCK_DGRAM.
func watchFilter() []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ETH_P_IP, SkipTrue: 10},
		bpf.LoadAbsolute{Off: 6, Size: 2}, // a later fragment has no header
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 8},
		bpf.LoadMemShift{Off: 0}, // X: the IP header's length
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: protocolICMP, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protocolTCP, SkipTrue: 4},
		bpf.LoadIndirect{Off: 13, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x06, SkipTrue: 3, SkipFalse: 2}, // RST, SYN
		bpf.LoadIndirect{Off: 0, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: icmpUnreachable, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: watchLength},
	}
}

// read takes what there is.
func (p *packets) read(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		n, from, err := unix.Recvfrom(fd, p.buf[:], unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err == unix.ENETDOWN {
			continue // an interface went away, and is told once (packet(7))
		}
		if err != nil {
			break
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if s, known := parsePacket(p.buf[:n]); ok && known {
			p.see(s, link.Pkttype == unix.PACKET_OUTGOING)
		}
	}
	if stats, err := unix.GetsockoptTpacketStats(fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
		p.lost += stats.Drops // reading resets it
	}
}

// drain returns when everything that the kernel has handed over is seen.
func (p *packets) drain() {
	_ = p.raw.Control(func(fd uintptr) { p.read(int(fd)) }) // a closed one has nothing more
}

func (p *packets) whole() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost == 0
}

func (p *packets) close() {
	p.file.Close()
	<-p.done
}

// bindPort gives a socket its port before it connects, so that its packets are known
// even if it never does.
func bindPort(fd uintptr) (uint16, error) {
	if err := unix.Bind(int(fd), &unix.SockaddrInet4{}); err != nil {
		return 0, fmt.Errorf("binding a port: %w", err)
	}
	name, err := unix.Getsockname(int(fd))
	if err != nil {
		return 0, fmt.Errorf("reading the port: %w", err)
	}
	local, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return 0, fmt.Errorf("reading the port: no IPv4 socket")
	}
	return uint16(local.Port), nil
}
