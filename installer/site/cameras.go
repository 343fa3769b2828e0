package site

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// The ports of a camera that says nothing else (the vendor's page, Media Server(s) to
// Video Device(s)).
const (
	cameraHTTP = 80
	cameraRTSP = 554
)

// rangeLimit keeps a slip in a range from making millions of cameras.
const rangeLimit = 1024

// camerasLimit is how many cameras one server may have, far above what it can record.
const camerasLimit = 4096

// cameras reads addresses, ranges and mappings.
func (r *reader) cameras(v value) []Camera {
	var all []Camera
	for _, item := range r.items(v) {
		switch item.node.(type) {
		case *ast.MappingNode, *ast.MappingValueNode:
			all = append(all, r.camera(item))
		default:
			some, _ := one(r, item, parseCameras)
			all = append(all, some...)
		}
		if len(all) > camerasLimit {
			r.at(v.path, fmt.Sprintf("there are more than %d cameras up to here", camerasLimit), "give the server fewer")
			return nil
		}
	}
	return all
}

func (r *reader) camera(v value) Camera {
	c := Camera{HTTP: cameraHTTP, RTSP: cameraRTSP}
	r.object(v, []field{
		{key: "name", read: scalar(r, &c.Name, parseText)},
		{key: "address", read: scalar(r, &c.Address, parseAddress), need: "address: and the camera's IPv4 address or name"},
		{key: "http", read: scalar(r, &c.HTTP, parsePort)},
		{key: "rtsp", read: scalar(r, &c.RTSP, parsePort)},
	})
	return c
}

// parseCameras reads one address, or a range with both ends included.
func parseCameras(s string) ([]Camera, error) {
	first, last, isRange := strings.Cut(s, "-")
	from, errFrom := netip.ParseAddr(strings.TrimSpace(first))
	to, errTo := netip.ParseAddr(strings.TrimSpace(last))
	if !isRange || errFrom != nil && errTo != nil && !looksNumeric(first) {
		a, err := parseAddress(s)
		return []Camera{{Address: a, HTTP: cameraHTTP, RTSP: cameraRTSP}}, err
	}
	fix := "write the first and the last address, such as 10.0.9.20-10.0.9.39"
	switch {
	case errFrom != nil || errTo != nil:
		return nil, &wrong{fmt.Sprintf("%q is not a range of addresses", s), fix}
	case !from.Is4() || !to.Is4():
		return nil, &wrong{fmt.Sprintf("%q %s", s, ipv6Reason), "write the IPv4 addresses"}
	case to.Less(from):
		return nil, &wrong{fmt.Sprintf("%q ends before it starts", s), fmt.Sprintf("write %s-%s", to, from)}
	}
	return expand(s, from, to)
}

func expand(s string, from, to netip.Addr) ([]Camera, error) {
	var all []Camera
	for ip := from; ; ip = ip.Next() {
		if len(all) == rangeLimit {
			return nil, &wrong{fmt.Sprintf("%q holds more than %d cameras", s, rangeLimit), "check both ends of the range"}
		}
		a, err := parseAddress(ip.String())
		if err != nil {
			return nil, err
		}
		all = append(all, Camera{Address: a, HTTP: cameraHTTP, RTSP: cameraRTSP})
		if ip == to {
			return all, nil
		}
	}
}

// ranges writes cameras as a site file would, with runs of addresses as ranges.
func ranges(cameras []Camera) string {
	var parts []string
	for i := 0; i < len(cameras); {
		j := i + 1
		for j < len(cameras) && follows(cameras[j-1].Address, cameras[j].Address) {
			j++
		}
		part := string(cameras[i].Address)
		if j-i > 1 {
			part += "-" + string(cameras[j-1].Address)
		}
		parts = append(parts, part)
		i = j
	}
	return strings.Join(parts, ", ")
}

func follows(a, b Address) bool {
	x, isIP := a.IP()
	y, alsoIP := b.IP()
	return isIP && alsoIP && x.Next() == y
}
