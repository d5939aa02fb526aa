const IPV4 = /^(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3}$/;
const IPV6_GROUP = /^[\da-f]{1,4}$/i;
const IPV6_ZONE = /%[\w.:-]+$/;

/**
 * The version of the protocol whose numeric address a text is, else 0: as `isIP` of `node:net`, which takes longer to
 * load than all of this library.
 */
export function ipVersion(text: string): 0 | 4 | 6 {
  if (IPV4.test(text)) return 4;
  return text.includes(":") && isIPv6(text.replace(IPV6_ZONE, "")) ? 6 : 0;
}

function isIPv6(address: string): boolean {
  const halves = address.split("::");
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  const last = groups.at(-1) ?? "";
  // The last 32 bits may be written as an IPv4 address.
  const endsWithIPv4 = IPV4.test(last) && address.endsWith(last);
  if (endsWithIPv4) groups.splice(-1, 1, "0", "0");
  const isWhole = halves.length === 1 ? groups.length === 8 : halves.length === 2 && groups.length < 8;
  return isWhole && groups.every((group) => IPV6_GROUP.test(group));
}
