/** The command's flags for keys, each with its short environment variable and its key. */
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

/** The flag and the variable that name the configuration file. */
export const CONFIG_FILE = { option: "--config", env: "GLANCE_SIZE_PROXY_CONFIG" } as const;
