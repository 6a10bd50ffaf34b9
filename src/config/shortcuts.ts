/** The flags of the command, each with the short variable and the key that it stands for. */
export const SHORTCUTS = [
  {
    flag: "upstream",
    option: "--upstream",
    value: "URL",
    env: "GLANCE_SIZE_PROXY_UPSTREAM",
    key: "upstream.url",
  },
  {
    flag: "listen",
    option: "--listen",
    value: "HOST:PORT",
    env: "GLANCE_SIZE_PROXY_LISTEN",
    key: "listen.address",
  },
  {
    flag: "adminListen",
    option: "--admin-listen",
    value: "HOST:PORT",
    env: "GLANCE_SIZE_PROXY_ADMIN_LISTEN",
    key: "admin.address",
  },
] as const;

/** Names the configuration file; no key of the file itself. */
export const CONFIG_FILE = { option: "--config", env: "GLANCE_SIZE_PROXY_CONFIG" } as const;
