package cases

import (
	"context"
	"fmt"
	"net/netip"
)

// listener is a program that listens on one of a host's addresses.
type listener struct {
	address netip.Addr
	port    int
	manner  string
}

// The manners of listeners.
const (
	silent  = "silent"  // accepts connections and never says a word
	answers = "answers" // answers each first line with an empty page
)

// listenersUnit is the transient unit that they all run in; it leaves no file.
const listenersUnit = "valtlab-listeners.service"

// listenersProgram is given address:port:manner, as often as wanted. It says ready once
// it listens everywhere (sd_notify(3)).
const listenersProgram = `
import asyncio, os, socket, sys
async def silent(reader, writer):
    await asyncio.Event().wait()
async def answers(reader, writer):
    if await reader.readline():
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
    writer.close()
async def main():
    for arg in sys.argv[1:]:
        address, port, manner = arg.split(":")
        await asyncio.start_server({"silent": silent, "answers": answers}[manner], address, int(port))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    await asyncio.Event().wait()
asyncio.run(main())
`

// listenOn starts listeners on a host and returns when all listen.
func (e *Env) listenOn(ctx context.Context, host string, all ...listener) error {
	argv := []string{"systemd-run", "--collect", "--unit", listenersUnit, "--service-type", "notify", "python3", "-c", listenersProgram}
	for _, l := range all {
		argv = append(argv, fmt.Sprintf("%s:%d:%s", l.address, l.port, l.manner))
	}
	_, err := e.Lab.Output(ctx, host, argv...)
	return err
}

// stopListening ends them; that none run is no error.
func (e *Env) stopListening(ctx context.Context, host string) error {
	_, err := e.Lab.Output(ctx, host, "sh", "-c", "! systemctl is-active --quiet "+listenersUnit+" || systemctl stop "+listenersUnit)
	return err
}
