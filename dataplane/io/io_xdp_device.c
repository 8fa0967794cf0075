/* SPDX-License-Identifier: BSD-3-Clause
 * What the AF_XDP back end asks the kernel about an interface, in the network namespace of the caller.
 * Called by io_xdp_host.c. Cold.
 */
#include "io/io_xdp.h"
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ifreq io_request(const char *interface)
{
    struct ifreq request = {0};
    memcpy(request.ifr_name, interface, strnlen(interface, sizeof request.ifr_name - 1));
    return request;
}

/* Receive queues in use: combined ones and those that only receive. A driver that cannot say has one. */
static unsigned io_device_channels(int fd, const char *interface)
{
    struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
    struct ifreq request = io_request(interface);
    request.ifr_data = (void *)&channels;
    if (ioctl(fd, SIOCETHTOOL, &request) != 0)
        return 1;
    unsigned n = channels.combined_count + channels.rx_count;
    return n ? n : 1;
}

enum tg_err io_device_ask(const char *interface, struct io_device *device)
{
    struct ifreq request = io_request(interface);
    *device = (struct io_device){.index = if_nametoindex(interface)};
    if (!device->index)
        return TG_NOT_FOUND;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return TG_SYSTEM;
    enum tg_err result = TG_NOT_FOUND;
    if (ioctl(fd, SIOCGIFHWADDR, &request) == 0) {
        memcpy(device->mac, request.ifr_hwaddr.sa_data, sizeof device->mac);
        if (ioctl(fd, SIOCGIFMTU, &request) == 0) {
            device->mtu = (unsigned)request.ifr_mtu;
            if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
                device->up = request.ifr_flags & IFF_UP;
                result = TG_OK;
            }
        }
    }
    device->channels = io_device_channels(fd, interface);
    close(fd);
    return result;
}

int io_device_allmulti(unsigned index)
{
    struct packet_mreq all = {.mr_ifindex = (int)index, .mr_type = PACKET_MR_ALLMULTI};
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0); /* protocol 0: receives nothing */
    if (fd >= 0 && setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) != 0) {
        int reason = errno;
        close(fd);
        errno = reason;
        return -1;
    }
    return fd;
}
