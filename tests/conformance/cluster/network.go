package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"unsafe"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// addressRange hands out addresses in turn, so that a deleted pod's is not soon another's.
type addressRange struct {
	first, last, next netip.Addr
	bits              int
	used              map[netip.Addr]bool
}

// parseRange reads "A-B/LEN"; nil for "none".
func parseRange(s string) (*addressRange, error) {
	if s == "none" {
		return nil, nil
	}
	var r addressRange
	a, rest, ok := strings.Cut(s, "-")
	if ok {
		p, err := netip.ParsePrefix(rest)
		first, err2 := netip.ParseAddr(a)
		if err == nil && err2 == nil && first.BitLen() == p.Addr().BitLen() && first.Compare(p.Addr()) <= 0 {
			r = addressRange{first: first, last: p.Addr(), next: first, bits: p.Bits(), used: map[netip.Addr]bool{}}
			return &r, nil
		}
	}
	return nil, fmt.Errorf("%q is not a range of addresses A-B/LEN", s)
}

func (r *addressRange) take() (netip.Addr, error) {
	for start := r.next; ; {
		a := r.next
		if r.next = a.Next(); a == r.last {
			r.next = r.first
		}
		if !r.used[a] {
			r.used[a] = true
			return a, nil
		}
		if r.next == start {
			return netip.Addr{}, errors.New("no pod address is free")
		}
	}
}

// podNetwork plugs pods into one bridge.  A pod's namespace has no name: it lives as long as we hold it open or a process is
// in it, and its cable goes with it.
type podNetwork struct {
	bridge   string
	bridgeNS netns.NsHandle
	lock     net.Listener // held by the one who may make and remove a bridge of this name; nil: the bridge is another's
	mu       sync.Mutex
	v4, v6   *addressRange
	serial   int // of cables
}

type podNIC struct {
	ns    netns.NsHandle
	cable string // the bridge's end
	addrs []netip.Addr
}

// newPodNetwork: with an error, what it returns still has to be stopped.
func newPodNetwork(o *kubeletOptions) (*podNetwork, error) {
	n := &podNetwork{bridge: o.bridge, bridgeNS: netns.None()}
	var err error
	if n.v4, err = parseRange(o.pods4); err != nil {
		return n, err
	}
	if n.v6, err = parseRange(o.pods6); err != nil {
		return n, err
	}
	if n.v4 == nil && n.v6 == nil {
		return n, errors.New("pods need addresses")
	}
	if ns, bridge, ok := strings.Cut(o.bridge, ":"); ok {
		n.bridge = bridge
		n.bridgeNS, err = netns.GetFromName(ns)
	} else {
		n.bridgeNS, err = netns.GetFromPid(os.Getpid())
	}
	if err != nil {
		return n, fmt.Errorf("network namespace of bridge %s: %w", o.bridge, err)
	}
	if n.bridge == "" {
		n.bridge = o.ownBridge
		return n, n.makeBridge()
	}
	return n, n.inside(n.bridgeNS, func() error {
		_, err := netlink.LinkByName(n.bridge)
		return err
	})
}

// makeBridge: pods on a bridge of this machine, which has the first address of each subnet.
func (n *podNetwork) makeBridge() error {
	lock, err := net.Listen("unix", "@gatehouse-bridge-"+n.bridge) // a name without a file, free again when its holder ends
	if err != nil {
		return fmt.Errorf("bridge %s is another cluster's: choose --own-bridge, --pods4 and --pods6 (%w)", n.bridge, err)
	}
	n.lock = lock
	if old, err := netlink.LinkByName(n.bridge); err == nil { // of a run that was killed
		if err = netlink.LinkDel(old); err != nil {
			return err
		}
	}
	br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: n.bridge}}
	if err := netlink.LinkAdd(br); err != nil {
		return fmt.Errorf("bridge %s: %w", n.bridge, err)
	}
	for _, r := range []*addressRange{n.v4, n.v6} {
		if r == nil {
			continue
		}
		gw := netip.PrefixFrom(r.first, r.bits).Masked().Addr().Next()
		if err := netlink.AddrAdd(br, address(gw, r.bits)); err != nil {
			return err
		}
	}
	return netlink.LinkSetUp(br)
}

// inside runs f on a thread that is in the network namespace ns.
func (n *podNetwork) inside(ns netns.NsHandle, f func() error) error {
	runtime.LockOSThread()
	here, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer here.Close()
	if err = netns.Set(ns); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	if back := netns.Set(here); back != nil {
		return errors.Join(err, back) // the thread stays locked, and ends with its goroutine
	}
	runtime.UnlockOSThread()
	return err
}

// fresh makes a namespace and comes back.
func (n *podNetwork) fresh() (ns netns.NsHandle, err error) {
	ns = netns.None()
	err = n.inside(n.bridgeNS, func() error {
		made, err := netns.New()
		ns = made
		return err
	})
	return ns, err
}

func address(a netip.Addr, bits int) *netlink.Addr {
	out := &netlink.Addr{IPNet: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, a.BitLen())}}
	if a.Is6() {
		out.Flags = unix.IFA_F_NODAD // works the moment it is set
	}
	return out
}

// attach makes a namespace with lo and eth0 up.
func (n *podNetwork) attach() (*podNIC, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	nic := &podNIC{ns: netns.None()}
	var prefixes []*netlink.Addr
	for _, r := range []*addressRange{n.v4, n.v6} {
		if r == nil {
			continue
		}
		a, err := r.take()
		if err != nil {
			n.release(nic)
			return nil, err
		}
		nic.addrs = append(nic.addrs, a)
		prefixes = append(prefixes, address(a, r.bits))
	}
	n.serial++
	nic.cable = fmt.Sprintf("gp%d-%d", os.Getpid(), n.serial)
	var err error
	if nic.ns, err = n.fresh(); err == nil {
		err = n.cable(nic, prefixes)
	}
	if err != nil {
		n.release(nic)
		return nil, fmt.Errorf("pod network: %w", err)
	}
	return nic, nil
}

func (n *podNetwork) cable(nic *podNIC, prefixes []*netlink.Addr) error {
	err := n.inside(n.bridgeNS, func() error {
		br, err := netlink.LinkByName(n.bridge)
		if err != nil {
			return err
		}
		attrs := netlink.LinkAttrs{Name: nic.cable, MasterIndex: br.Attrs().Index, MTU: br.Attrs().MTU}
		if err = netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(nic.ns))}); err != nil {
			return err
		}
		checksumsOnWire(nic.cable)
		l, err := netlink.LinkByName(nic.cable)
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(l)
	})
	if err != nil {
		return err
	}
	return n.inside(nic.ns, func() error {
		for _, s := range []string{"all/accept_dad", "default/accept_dad", "eth0/accept_dad", "eth0/accept_ra", "eth0/router_solicitations"} {
			_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+s, []byte("0"), 0o644) // a kernel without IPv6 has none
		}
		checksumsOnWire("eth0")
		for _, name := range []string{"lo", "eth0"} {
			l, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			if err = netlink.LinkSetUp(l); err != nil {
				return err
			}
			for _, p := range prefixes {
				if name != "eth0" {
					break
				}
				if err = netlink.AddrAdd(l, p); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// release is idempotent.  The caller holds no process in the namespace any more.
func (n *podNetwork) release(nic *podNIC) {
	for _, a := range nic.addrs {
		if a.Is4() {
			delete(n.v4.used, a)
		} else {
			delete(n.v6.used, a)
		}
	}
	nic.addrs = nil
	if nic.ns.IsOpen() {
		_ = n.inside(n.bridgeNS, func() error {
			l, err := netlink.LinkByName(nic.cable)
			if err == nil {
				err = netlink.LinkDel(l)
			}
			return err
		})
		_ = nic.ns.Close()
	}
}

func (n *podNetwork) detach(nic *podNIC) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.release(nic)
}

func (n *podNetwork) stop() {
	if n.lock != nil {
		if l, err := netlink.LinkByName(n.bridge); err == nil {
			_ = netlink.LinkDel(l)
		}
		_ = n.lock.Close()
	}
	_ = n.bridgeNS.Close()
}

// checksumsOnWire turns transmit checksum offload off: what reads packets raw must see what a wire would carry.  Best effort,
// as with ethtool -K: a driver may have it fixed.
func checksumsOnWire(device string) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	value := struct{ cmd, data uint32 }{unix.ETHTOOL_STXCSUM, 0}
	var request struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}
	copy(request.name[:unix.IFNAMSIZ-1], device)
	request.data = unsafe.Pointer(&value)
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request)))
	runtime.KeepAlive(&value)
}
