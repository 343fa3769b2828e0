package sockets

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
)

func TestOwnListenersAreFoundWithTheirProgram(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	all, err := Listening("")
	if err != nil {
		t.Fatal(err)
	}
	owners, err := Owners(t.Context(), "", all)
	if err != nil {
		t.Fatal(err)
	}
	own := Of("", os.Getpid())
	for protocol, at := range map[string]netip.AddrPort{
		"tcp": tcp.Addr().(*net.TCPAddr).AddrPort(), "udp": udp.LocalAddr().(*net.UDPAddr).AddrPort(),
	} {
		i := slices.IndexFunc(all, func(s Socket) bool { return s.Protocol == protocol && s.At == at })
		if i < 0 {
			t.Fatalf("%s on %s is not seen", protocol, at)
		}
		if owners[all[i].Inode] != os.Getpid() || !own[all[i].Inode] {
			t.Errorf("%s on %s is told to be of %d", protocol, at, owners[all[i].Inode])
		}
	}
	if Program("", os.Getpid()) == "" || Program("", 1<<30) != "" {
		t.Error("a program is not named, or one that is not there is")
	}
}

func TestConnectionsAreNoListeners(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F97 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1
   1: 0100007F:1F98 0200007F:0050 0A 00000000:00000000 00:00000000 00000000     0        0 102 1
   2: 0100007F:1F99 0200007F:0050 01 00000000:00000000 00:00000000 00000000     0        0 103 1
`
	all := parse([]byte(table), "tcp", tcpListen)
	if len(all) != 1 || all[0].At != netip.MustParseAddrPort("127.0.0.1:8087") || all[0].Inode != "101" {
		t.Errorf("got %+v", all)
	}
}

func TestMachineWithoutIPv6AndWithoutTables(t *testing.T) {
	if all, err := Listening(t.TempDir()); err != nil || len(all) != 0 {
		t.Errorf("got %v, %v", all, err)
	}
	if _, err := Owners(t.Context(), t.TempDir(), nil); err == nil {
		t.Error("a machine without processes is no error")
	}
}

func FuzzTables(f *testing.F) {
	f.Add("   0: 0100007F:1F97 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range parse([]byte(text), "tcp", tcpListen) {
			if !s.At.Addr().IsValid() || s.Inode == "" {
				t.Errorf("%q gives %+v", text, s)
			}
		}
	})
}
