// Curl's options: which take a value, and how they are written.

/** Those of `curl --help all` that take one, with their letters. */
const VALUED = named(`
  abstract-unix-socket alt-svc aws-sigv4 cacert capath E/cert cert-type ciphers K/config connect-timeout connect-to
  C/continue-at b/cookie c/cookie-jar create-file-mode crlfile curves d/data data-ascii data-binary data-raw
  data-urlencode delegation dns-interface dns-ipv4-addr dns-ipv6-addr dns-servers doh-url D/dump-header ech egd-file
  engine etag-compare etag-save expect100-timeout F/form form-string ftp-account ftp-alternative-to-user ftp-method
  P/ftp-port ftp-ssl-ccc-mode happy-eyeballs-timeout-ms haproxy-clientip H/header hostpubmd5 hostpubsha256 hsts
  interface ip-tos ipfs-gateway json keepalive-cnt keepalive-time key key-type knownhosts krb libcurl limit-rate
  local-port login-options mail-auth mail-from mail-rcpt max-filesize max-redirs m/max-time netrc-file noproxy
  oauth2-bearer o/output output-dir parallel-max parallel-max-host pass pinnedpubkey preproxy proto proto-default
  proto-redir x/proxy proxy-cacert proxy-capath proxy-cert proxy-cert-type proxy-ciphers proxy-crlfile proxy-header
  proxy-key proxy-key-type proxy-pass proxy-pinnedpubkey proxy-service-name proxy-tls13-ciphers proxy-tlsauthtype
  proxy-tlspassword proxy-tlsuser U/proxy-user proxy1.0 pubkey Q/quote random-file r/range rate e/referer X/request
  request-target resolve retry retry-delay retry-max-time sasl-authzid service-name sigalgs socks4 socks4a socks5
  socks5-gssapi-service socks5-hostname Y/speed-limit y/speed-time stderr t/telnet-option tftp-blksize z/time-cond
  tls-max tls13-ciphers tlsauthtype tlspassword tlsuser trace trace-ascii trace-config unix-socket T/upload-file
  upload-flags url url-query u/user A/user-agent variable vlan-priority w/write-out
`);

const FLAGS = named(`
  anyauth a/append basic ca-native cert-status compressed compressed-ssh create-dirs crlf digest q/disable
  disable-eprt disable-epsv disallow-username-in-url doh-cert-status doh-insecure dump-ca-embed f/fail fail-early
  fail-with-body false-start follow form-escape ftp-create-dirs ftp-pasv ftp-pret ftp-skip-pasv-ip ftp-ssl-ccc
  ftp-ssl-control G/get g/globoff haproxy-protocol I/head h/help http0.9 0/http1.0 http1.1 http2 http2-prior-knowledge
  http3 http3-only ignore-content-length i/include k/insecure 4/ipv4 6/ipv6 j/junk-session-cookies l/list-only
  L/location location-trusted mail-rcpt-allowfails M/manual metalink mptcp negotiate n/netrc netrc-optional :/next
  no-alpn N/no-buffer no-clobber no-keepalive no-npn no-progress-meter no-sessionid ntlm ntlm-wb out-null Z/parallel
  parallel-immediate path-as-is post301 post302 post303 #/progress-bar proxy-anyauth proxy-basic proxy-ca-native
  proxy-digest proxy-http2 proxy-insecure proxy-negotiate proxy-ntlm proxy-ssl-allow-beast proxy-ssl-auto-client-cert
  proxy-tlsv1 p/proxytunnel raw J/remote-header-name O/remote-name remote-name-all R/remote-time remove-on-error
  retry-all-errors retry-connrefused sasl-ir S/show-error s/silent skip-existing socks5-basic socks5-gssapi
  socks5-gssapi-nec ssl ssl-allow-beast ssl-auto-client-cert ssl-no-revoke ssl-reqd ssl-revoke-best-effort 2/sslv2
  3/sslv3 styled-output suppress-connect-headers tcp-fastopen tcp-nodelay tftp-no-options tls-earlydata 1/tlsv1
  tlsv1.0 tlsv1.1 tlsv1.2 tlsv1.3 tr-encoding trace-ids trace-time B/use-ascii v/verbose V/version xattr
`);

function named(text: string): Map<string, string> {
  return new Map(text.trim().split(/\s+/).flatMap((option) => {
    const name = option.replace(/^.\//, "");
    return [[`--${name}`, name], ...(name === option ? [] : [[`-${option[0]}`, name]])] as [string, string][];
  }));
}

/**
 * The options among curl's arguments, in their order and by their long names; what is none of them is a `url`. Throws with
 * a sentence for people: without knowing an option nobody knows whether the next word is its value.
 */
export function* optionsOf(words: string[]): Generator<[name: string, value: string]> {
  const rest = [...words];
  const valued = (option: string, name: string, value = rest.shift()): [string, string] => {
    if (value === undefined) throw new Error(`\`${option}\` has no value`);
    return [name, value];
  };
  for (let word = rest.shift(); word !== undefined; word = rest.shift()) {
    if (!/^-./.test(word)) {
      yield ["url", word];
    } else if (word.startsWith("--")) {
      const [, option = word, value] = /^(--[^=]+)=([^]*)$/.exec(word) ?? [];
      const name = VALUED.get(option);
      yield name === undefined ? [flag(word), ""] : valued(option, name, value);
    } else {
      // Letters stand together; one that takes a value takes the rest.
      for (let at = 1; at < word.length; at += 1) {
        const option = `-${word[at]}`;
        const name = VALUED.get(option);
        yield name === undefined ? [flag(option), ""] : valued(option, name, word.slice(at + 1) || undefined);
        if (name !== undefined) break;
      }
    }
  }
}

function flag(option: string): string {
  const name = FLAGS.get(option);
  if (name !== undefined) return name;
  // Each can be switched off, and some are off.
  const opposite = option.startsWith("--no-") ? `--${option.slice(5)}` : `--no-${option.slice(2)}`;
  if (!FLAGS.has(opposite)) throw new Error(`\`${option}\` is not known as an option of curl`);
  return option.slice(2);
}
